-- Numeric scales below zero and beyond the precision.
CREATE TABLE zoo_types.scales (thousands numeric(5, -3), fraction numeric(3, 5));
INSERT INTO zoo_types.scales VALUES (12345678, 0.00123), ('NaN', -0.00999);
