-- Views with the rights of whoever asks.
CREATE VIEW zoo_views.invoker WITH (security_invoker = true, security_barrier = false) AS SELECT * FROM zoo_views.base;
