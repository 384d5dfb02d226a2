//! Providers of PostgreSQL whose addresses say which door one stands at, and which would be the right one.

/// A door that is known by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Door {
    /// What it is: `Neon's pooler`.
    pub name: &'static str,
    /// Whether transactions of different clients share sessions behind it.
    pub is_transaction_pooler: bool,
    /// Where to go instead.
    pub instead: &'static str,
}

/// The known door at this address, where it is not the server's own.
pub fn door(host: &str, port: u16) -> Option<Door> {
    let host = host.to_ascii_lowercase();
    let ends = |end: &str| host.ends_with(end);
    let first_label = host.split('.').next().unwrap_or_default();
    let door = |name, is_transaction_pooler, instead| Some(Door { name, is_transaction_pooler, instead });
    match port {
        6543 if ends(".pooler.supabase.com") => {
            door("Supabase's transaction pooler", true, "use the session pooler: the same host, port 5432")
        }
        6543 if ends(".supabase.co") => {
            door("Supabase's transaction pooler", true, "use port 5432 of this host, or the session pooler")
        }
        _ if ends(".neon.tech") && first_label.ends_with("-pooler") => {
            door("Neon's pooler", true, "use the direct address: the same host without `-pooler`")
        }
        _ if ends(".rds.amazonaws.com") && host.contains(".proxy-") => {
            door("RDS Proxy", false, "use the address of the instance or cluster itself")
        }
        _ if ends(".rds.amazonaws.com") && host.contains(".cluster-ro-") => {
            door("a reader endpoint that balances", false, "use the address of one reader instance")
        }
        _ if ends(".rds.amazonaws.com") && host.contains(".cluster-custom-") => {
            door("a custom endpoint that balances", false, "use the address of one instance")
        }
        6432 if ends(".postgres.database.azure.com") => {
            door("Azure's PgBouncer", true, "use port 5432 of the same host")
        }
        25061 if ends(".ondigitalocean.com") => {
            door("DigitalOcean's connection pool", true, "use port 25060 and the database's own name")
        }
        _ => None,
    }
}

/// What is known to keep people from reaching this host at all.
pub fn unreachable_hint(host: &str) -> Option<&'static str> {
    let host = host.to_ascii_lowercase();
    (host.starts_with("db.") && host.ends_with(".supabase.co")).then_some(
        "Supabase's direct hosts have IPv6 addresses only: where there is no IPv6 (AWS Lambda, most offices), use the \
         session pooler's host (…pooler.supabase.com) on port 5432",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doors_are_known_by_host_and_port() {
        let name = |host, port| door(host, port).map(|door| door.name);
        assert_eq!(name("aws-0-eu-west-1.pooler.supabase.com", 6543), Some("Supabase's transaction pooler"));
        assert_eq!(name("aws-0-eu-west-1.pooler.supabase.com", 5432), None);
        assert_eq!(name("ep-cool-sun-123-pooler.eu-central-1.aws.neon.tech", 5432), Some("Neon's pooler"));
        assert_eq!(name("ep-cool-sun-123.eu-central-1.aws.neon.tech", 5432), None);
        assert_eq!(name("shop.proxy-abc.eu-west-1.rds.amazonaws.com", 5432), Some("RDS Proxy"));
        assert_eq!(
            name("shop.cluster-ro-abc.eu-west-1.rds.amazonaws.com", 5432),
            Some("a reader endpoint that balances")
        );
        assert_eq!(
            name("shop.cluster-custom-abc.eu-west-1.rds.amazonaws.com", 5432),
            Some("a custom endpoint that balances")
        );
        assert_eq!(name("shop.abc.eu-west-1.rds.amazonaws.com", 5432), None);
        assert_eq!(name("shop.postgres.database.azure.com", 6432), Some("Azure's PgBouncer"));
        assert_eq!(name("db.acme.com", 6543), None);
    }

    #[test]
    fn hosts_without_ipv4_are_known() {
        assert!(unreachable_hint("db.abcdefgh.supabase.co").is_some());
        assert!(unreachable_hint("db.acme.com").is_none());
    }
}
