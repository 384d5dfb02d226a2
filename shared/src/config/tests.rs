use proptest::prelude::*;

use super::*;
use crate::error::ErrorKind;
use crate::fuzz::fuzz_text;
use crate::postgres::Environment;
use crate::store::{StorageClass, ThawTier};

fn read(text: &str, variables: &[(&str, &str)]) -> Result<Config> {
    let file = ConfigFile { path: "/etc/lifeboat/lifeboat.toml".into(), text: text.to_owned() };
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config::read(Some(&file), variables)
}

/// The refusal: message and hint.
fn refusal(text: &str, variables: &[(&str, &str)]) -> (String, String) {
    let error = read(text, variables).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
    (error.message(), error.hint_text().unwrap_or_default().to_owned())
}

fn shop(config: &Config) -> &DatabaseConfig {
    config.database(&"shop".parse().unwrap()).unwrap()
}

#[test]
fn the_example_is_understood() {
    let text = include_str!("../../../infra/lifeboat.example.toml");
    let config = read(text, &[]).unwrap();
    assert_eq!(config.vault.as_deref(), Some("s3://acme-backups/lifeboat"));
    assert_eq!(shop(&config).floor, Floor { rows: 1000, plaintext_bytes: 1_000_000 });
    assert_eq!(config.verify.after_backup, Some(Depth::Quick));
}

#[test]
fn a_variable_wins_over_the_file() {
    let text = "vault = 's3://one'\n[databases.shop]\njobs = 2\n[tiers.daily]\nkeep_last = 3\n";
    let variables = [
        ("LIFEBOAT_VAULT", "s3://two"),
        ("LIFEBOAT_DATABASES__SHOP__JOBS", "8"),
        ("LIFEBOAT_DATABASES__SHOP__EXCLUDE_TABLE_DATA", "audit.*, log"),
        ("LIFEBOAT_TIERS__DAILY__KEEP_LAST", "30"),
    ];
    let config = read(text, &variables).unwrap();
    assert_eq!(config.vault.as_deref(), Some("s3://two"));
    assert_eq!(shop(&config).jobs, Some(8));
    assert_eq!(shop(&config).exclude_table_data, ["audit.*", "log"]);
    assert_eq!(config.tiers[&"daily".parse().unwrap()].keep, TierKeep::Rules(TierRules::last(30)));
}

#[test]
fn an_empty_variable_is_as_if_it_were_not_set() {
    let config = read("vault = 's3://one'", &[("LIFEBOAT_VAULT", ""), ("LIFEBOAT_MASTER_KEY", "")]).unwrap();
    assert_eq!(config.vault.as_deref(), Some("s3://one"));
    assert!(config.master_key.is_none());
}

#[test]
fn an_unknown_key_is_refused_with_its_line_and_the_nearest_known_one() {
    let (message, hint) = refusal("vault = 'a'\n\n[databases.shop]\nconection = 'env:X'\n", &[]);
    assert_eq!(message, "/etc/lifeboat/lifeboat.toml:4: unknown key `conection` in [databases.shop]");
    assert_eq!(hint, "did you mean `connection`?");
    let (message, hint) = refusal("", &[("LIFEBOAT_VALT", "s3://a")]);
    assert_eq!(message, "LIFEBOAT_VALT is not a setting of Lifeboat");
    assert_eq!(hint, "did you mean LIFEBOAT_VAULT?");
    let (_, hint) = refusal("", &[("LIFEBOAT_DATABASES__SHOP__JOB", "3")]);
    assert_eq!(hint, "did you mean LIFEBOAT_DATABASES__SHOP__JOBS?");
    let (_, hint) = refusal("[databases.shop]\nzzzzzzzz = 1\n", &[]);
    assert!(hint.starts_with("known here: `connection`, "), "{hint}");
    let (_, hint) = refusal("[database.shop]\n", &[]);
    assert_eq!(hint, "did you mean `databases`?");
    let (_, hint) = refusal("", &[("LIFEBOAT_MASTER_KEYFILE", "/key")]);
    assert_eq!(hint, "did you mean LIFEBOAT_MASTER_KEY_FILE?");
}

#[test]
fn a_drill_is_as_it_is_configured() {
    let text = "[verify]\nserver = 'env:SCRATCH'\n[drill]\nallow_source = true\ntargets = { rto = '1h', rpo = '24h' }\n\
                contacts = ['Ada']\nescalation = ['on call', 'CTO']\ndocument = 'https://wiki'\ntolerate = ['orphans']\n\
                [drill.assertions.recent]\nsql = 'SELECT true'\ndatabase = 'shop'\n\
                [drill.assertions.any]\nsql = 'SELECT 1 = 1'\n";
    let config = read(text, &[("LIFEBOAT_DRILL__TOLERATE", "indexes, sequences")]).unwrap();
    let options = config.drill_options(&"shop".parse().unwrap());
    assert_eq!(options.targets, Targets { rto_ms: Some(3_600_000), rpo_ms: Some(86_400_000) });
    assert_eq!(options.tolerated, [Look::Indexes, Look::Sequences].into());
    assert_eq!(options.plan.escalation, ["on call", "CTO"]);
    assert!(options.may_use_source);
    let asserted = |database: &str| -> Vec<String> {
        let options = config.drill_options(&database.parse().unwrap());
        options.assertions.into_iter().map(|assertion| assertion.name).collect()
    };
    assert_eq!(asserted("shop"), ["any", "recent"]);
    assert_eq!(asserted("crm"), ["any"]);
    assert_eq!(config.drill_server(), config.verify.server.as_ref(), "the server of verifications, where none is said");
    for (wrong, about) in [
        ("tolerate = ['rows']", "drill.tolerate"),
        ("allow_source = 'yes'", "drill.allow_source"),
        ("targets = { rto = 'soon' }", "drill.targets.rto"),
        ("targets = { rta = '1h' }", "rta"),
        ("server = 'postgres://me:secret@db/x'", "holds a password"),
        ("assertions = { x = { database = 'shop' } }", "drill.assertions.x.sql"),
    ] {
        let (message, _) = refusal(&format!("[drill]\n{wrong}\n"), &[]);
        assert!(message.contains(about), "{message}");
        assert!(!message.contains("secret"), "{message}");
    }
}

#[test]
fn the_digest_goes_by_mail_at_eight_unless_another_hour_is_said() {
    let email = |more: &str| {
        format!(
            "time_zone = 'Europe/Vienna'\n[notify.email]\nserver = 'smtps://mail.example.com'\nfrom = 'a@example.com'\nto = ['b@example.com']\n{more}"
        )
    };
    let hour = |more: &str| -> Option<String> {
        let config = read(&email(more), &[]).unwrap();
        config.digesting().map(|digesting| digesting.hour.strftime("%H:%M").to_string())
    };
    assert_eq!(hour("").as_deref(), Some("08:00"));
    assert_eq!(hour("digest = '18:30'\n").as_deref(), Some("18:30"));
    assert_eq!(hour("digest = 'off'\n"), None);
    assert!(refusal(&email("digest = 'noon'\n"), &[]).0.contains("notify.email.digest"));
    assert!(read("", &[]).unwrap().digesting().is_none());
}

#[test]
fn features_that_do_not_exist_are_not_promised() {
    let config = read("[tiers.daily]\nschedule = '0 2 * * *'\nkeep_last = 30\n", &[]).unwrap();
    assert_eq!(config.not_acted_on().len(), 1);
}

#[test]
fn a_tier_is_archived_if_it_says_so() {
    let config =
        read("[tiers.monthly]\nstorage = 'archive'\n", &[("LIFEBOAT_TIERS__YEARLY__STORAGE", "archive")]).unwrap();
    let selected = config.select(Some("postgres://me@db/shop"), &Environment::from_iter([("USER", "me")]));
    let selected = selected.unwrap().expect("a connection was given");
    let storage = |tier: &str| selected.backup_options(tier.parse().unwrap(), &config).storage;
    assert_eq!(["monthly", "yearly", "daily"].map(storage), [Storage::Archive, Storage::Archive, Storage::Pool]);
    let (message, _) = refusal("[tiers.monthly]\nstorage = 'glacier'\n", &[]);
    assert!(message.contains("tiers.monthly.storage"), "{message}");
}

#[test]
fn channels_name_their_secrets_and_hold_none() {
    let text = "[notify]\nsource = 'acme'\n[notify.slack]\nurl = 'secret:alerts/slack'\nmin_severity = 'critical'\n\
                [notify.email]\nserver = 'smtps://me@mail.example.com'\npassword = 'env:SMTP'\nfrom = 'a@example.com'\n\
                to = ['b@example.com']\n";
    let config = read(text, &[]).unwrap();
    assert_eq!(config.source(), "acme");
    assert_eq!(config.notify.slack.as_ref().map(|slack| slack.min_severity), Some(Severity::Critical));
    let email = config.notify.email.as_ref().unwrap();
    assert_eq!((email.server.port, email.min_severity), (465, Severity::Warning));
    for (text, what) in [
        (
            "[notify.slack]\nurl = 'https://hooks.slack.com/services/T0/B0/secret'\n",
            "notify.slack.url is not a reference",
        ),
        ("[notify.slack]\nmin_severity = 'warning'\n", "notify.slack.url is not configured"),
        ("[notify.webhook]\nurl = 'env:X'\nmin_severity = 'loud'\n", "notify.webhook.min_severity"),
        ("[notify.email]\nserver = 'smtp://me:secret@h'\nfrom = 'a@b.c'\n", "notify.email.server"),
        ("[notify.sns]\ntopic = 'alerts'\n", "notify.sns.topic is not the ARN"),
        ("[notify.pager]\nurl = 'env:X'\n", "`pager` in [notify]"),
    ] {
        let (message, hint) = refusal(text, &[]);
        assert!(message.contains(what), "{message}");
        assert!(!message.contains("secret@") && !hint.contains("T0/B0"), "{message} {hint}");
    }
}

#[test]
fn thresholds_are_those_of_the_rules_unless_something_else_is_said() {
    let shop: DatabaseName = "shop".parse().unwrap();
    assert_eq!(read("", &[]).unwrap().health_policy(&shop), HealthPolicy::default());
    let text = "[watch]\nbackup_age = '90m'\nquota = '1GB'\n[tiers.hourly]\nmax_age = '90m'\n\
                [databases.shop]\nfloor = { rows = 7 }\n";
    let policy = read(text, &[("LIFEBOAT_WATCH__ROWS_LOST_PERCENT", "10")]).unwrap().health_policy(&shop);
    assert_eq!((policy.key_age, policy.certificate), (None, Duration::from_secs(21 * 86_400)));
    let keys = read("[watch]\nkey_age = '365d'\ncertificate = '7d'\n", &[]).unwrap().health_policy(&shop);
    assert_eq!(keys.key_age, Some(Duration::from_secs(365 * 86_400)));
    assert_eq!(keys.certificate, Duration::from_secs(7 * 86_400));
    let lag = read("[watch]\nslot_lag = '2GB'\n", &[]).unwrap().health_policy(&shop).slot_lag_bytes;
    assert_eq!((lag.warning, lag.critical), (2_000_000_000, 10_000_000_000));
    let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
    assert_eq!((policy.backup_age.warning, policy.backup_age.critical), (minutes(90), minutes(180)));
    assert_eq!((policy.quota_bytes, policy.floor_rows, policy.rows_lost_percent), (Some(1_000_000_000), 7, 10));
    assert_eq!(policy.tiers[&"hourly".parse().unwrap()].max_age, Some(minutes(90)));
}

#[test]
fn prices_are_decimals_with_or_without_quotes_and_the_rest_stays_as_it_is() {
    let text = "[prices]\ncurrency = 'EUR'\ntransfer = 0\n[prices.standard]\nstorage = 0.025\nrequests = '0.0005'\n";
    let prices = read(text, &[("LIFEBOAT_PRICES__GLACIER__RETRIEVAL", "0.03")]).unwrap().prices;
    let defaults = Prices::default();
    let (standard, glacier) = (StorageClass::Standard, StorageClass::Glacier);
    assert_eq!((prices.currency.as_str(), prices.transfer), ("EUR", "0".parse().unwrap()));
    assert_eq!(prices.classes[&standard].storage, "0.025".parse().unwrap());
    assert_eq!(prices.classes[&standard].requests, "0.0005".parse().unwrap());
    assert_eq!(prices.classes[&glacier].retrieval, "0.03".parse().unwrap());
    assert_eq!(prices.classes[&glacier].storage, defaults.classes[&glacier].storage);
    assert_eq!(read("", &[]).unwrap().prices, defaults);
    let text = "[prices.glacier.bulk]\nretrieval = 0.001\n[prices.glacier.standard]\nrequests = 0.06\n";
    let prices = read(text, &[]).unwrap().prices;
    assert_eq!(prices.thaws[&(glacier, ThawTier::Bulk)].retrieval, "0.001".parse().unwrap());
    assert_eq!(prices.thaws[&(glacier, ThawTier::Standard)].requests, "0.06".parse().unwrap());
    for (text, name) in [
        ("[prices.standard]\nstorage = -0.1\n", "prices.standard.storage"),
        ("[prices.standard]\nstorage = nan\n", "prices.standard.storage"),
        ("[prices.standard]\nstorage = 1e3\n", "prices.standard.storage"),
        ("[prices.deep_archive.expedited]\nretrieval = 1\n", "`expedited` in [prices.deep_archive]"),
        ("[prices.glacier.standard]\nretrieval = 1\n", "`retrieval` in [prices.glacier.standard]"),
        ("[prices]\ntransfer = true\n", "prices.transfer"),
        ("[prices]\ncurrency = 'Taler'\n", "prices.currency"),
        ("[prices.standart]\nstorage = 1\n", "`standart` in [prices]"),
    ] {
        let (message, _) = refusal(text, &[]);
        assert!(message.contains(name), "{message}");
    }
}

#[test]
fn what_a_tier_says_stands_in_the_place_of_the_presets_rules_for_it() {
    let policy = |text: &str, variables: &[(&str, &str)]| read(text, variables).unwrap().policy();
    let rules = |policy: &Policy, tier: &str| policy.tiers.get(&tier.parse::<Tier>().unwrap()).copied();
    assert_eq!(policy("", &[]), Preset::Standard.policy());
    let own = policy(
        "time_zone = 'Europe/Berlin'
         [retention]
         preset = 'gfs'
         unverified_for = '3d'
         [tiers.daily]
         keep_for = '90d'
         [tiers.hourly]
         keep_at_least = 9
         [tiers.weekly]
         keep = 'all'
         [tiers.nightly]
         keep_last = 2
         keep_yearly = 5",
        &[("LIFEBOAT_TIERS__MONTHLY__KEEP_LAST", "4")],
    );
    assert_eq!(rules(&own, "daily"), Some(TierRules::days(90)));
    let hourly = rules(&Preset::Gfs.policy(), "hourly").unwrap();
    assert_eq!(rules(&own, "hourly"), Some(TierRules { keep_at_least: NonZeroU32::new(9).unwrap(), ..hourly }));
    assert_eq!(rules(&own, "weekly"), None);
    assert_eq!(rules(&own, "nightly"), Some(TierRules { keep_yearly: 5, ..TierRules::last(2) }));
    assert_eq!(rules(&own, "monthly"), Some(TierRules::last(4)));
    assert_eq!(own.unverified_for, Duration::from_secs(3 * 86_400));
    assert_eq!(own.safety_for, Preset::Gfs.policy().safety_for);
}

#[test]
fn versions_are_deleted_only_where_somebody_asked_for_it() {
    let deletes =
        |text: &str, variable: &[(&str, &str)]| read(text, variable).map(|config| config.retention.deletes).ok();
    let off = [("LIFEBOAT_RETENTION__DELETE_VERSIONS", "false")];
    let on = [("LIFEBOAT_RETENTION__DELETE_VERSIONS", "true")];
    for text in ["", "[retention]", "[retention]\ndelete_versions = false"] {
        assert_eq!(deletes(text, &[]), Some(Deletes::Current));
        assert_eq!(deletes(text, &on), Some(Deletes::EveryVersion));
    }
    assert_eq!(deletes("[retention]\ndelete_versions = true", &[]), Some(Deletes::EveryVersion));
    assert_eq!(deletes("[retention]\ndelete_versions = true", &off), Some(Deletes::Current));
    assert_eq!(deletes("[retention]\ndelete_versions = 'yes'", &[]), None);
}

#[test]
fn a_rule_of_retention_that_makes_no_sense_is_refused() {
    for text in [
        "[tiers.daily]\nkeep_last = 0",
        "[tiers.daily]\nkeep = 'most'",
        "[tiers.daily]\nkeep = 'all'\nkeep_last = 3",
        "[tiers.daily]\nkeep_for = 'a while'",
        "[retention]\npreset = 'grandfather'",
        "time_zone = 'Mars/Olympus'",
    ] {
        let (message, hint) = refusal(text, &[]);
        assert!(message.contains("lifeboat.toml:"), "{message}: {hint}");
    }
}

#[test]
fn a_secret_in_the_configuration_is_refused_and_never_shown() {
    let connections = [
        "postgres://backup:hunter2@db/shop",
        "postgres://backup@db/shop?password=hunter2",
        "postgres://backup@db/shop?p%61ssword=hunter2",
        "postgres://backup:hunter2@db:not-a-port/shop",
        "postgres://backup:hunter2/x@db/shop",
        "host=db user=backup password=hunter2",
        "host=db password='hunter2",
        "hunter2",
        "{\"username\":\"backup\",\"password\":\"hunter2\",\"host\":\"db\"}",
        "jdbc:postgresql://db/shop?user=x&password=hunter2",
    ];
    for connection in connections {
        let text = format!("[databases.shop]\nconnection = '''{connection}'''\n");
        let variable = [("LIFEBOAT_DATABASES__SHOP__CONNECTION", connection)];
        for (message, hint) in [refusal(&text, &[]), refusal("", &variable)] {
            assert!(!message.contains("hunter2") && !hint.contains("hunter2"), "{message}; {hint}");
            assert!(hint.contains("secret:NAME"), "{connection}: {message}; {hint}");
        }
    }
    for key in ["hunter2", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "kms:", "file:"] {
        let (message, hint) = refusal(&format!("master_key = '{key}'"), &[]);
        assert!(!message.contains(key) && hint.contains("secret:NAME"), "{message}");
    }
}

#[test]
fn a_connection_without_a_password_may_stand_in_the_file() {
    for connection in
        ["postgres://backup@db/shop", "host=db user=backup dbname=shop", "postgres://db/shop?sslmode=require"]
    {
        let config = read(&format!("[databases.shop]\nconnection = '{connection}'\n"), &[]).unwrap();
        assert_eq!(shop(&config).connection, Some(ConnectionSource::Plain(connection.to_owned())));
    }
}

#[test]
fn paths_start_from_the_file_that_says_them() {
    let config = read("vault = 'backups'\nmaster_key = 'file:key'\n", &[("HOME", "/home/ada")]).unwrap();
    assert_eq!(config.vault.as_deref(), Some("/etc/lifeboat/backups"));
    assert_eq!(config.master_key.unwrap().to_string(), "the file /etc/lifeboat/key");
    let config = read("vault = '~/backups'\nmaster_key = 'file:~/key'\n", &[("HOME", "/home/ada")]).unwrap();
    assert_eq!(config.vault.as_deref(), Some("/home/ada/backups"));
    assert_eq!(config.master_key.unwrap().to_string(), "the file /home/ada/key");
    let config = read("", &[("LIFEBOAT_VAULT", "backups"), ("LIFEBOAT_MASTER_KEY_FILE", "key")]).unwrap();
    assert_eq!(config.vault.as_deref(), Some("backups"));
    assert_eq!(config.master_key.unwrap().to_string(), "the file key");
}

#[test]
fn a_master_key_comes_from_exactly_one_variable_and_is_never_printed() {
    let key = "q83vEjRWeJASNFZ4kBI0VniQEjRWeJASNFZ4kBI0Vng=";
    let config = read("master_key = 'secret:old'", &[("LIFEBOAT_MASTER_KEY", key)]).unwrap();
    assert!(matches!(config.master_key, Some(MasterKeySource::Value(_))));
    assert!(!format!("{config:?}").contains(key));
    let config = read("", &[("LIFEBOAT_MASTER_KEY", "secret:lifeboat/key")]).unwrap();
    assert_eq!(config.master_key.unwrap().to_string(), "secret:lifeboat/key");
    let config = read("", &[("LIFEBOAT_MASTER_KEY_SECRET", "lifeboat/key")]).unwrap();
    assert_eq!(config.master_key.unwrap().to_string(), "secret:lifeboat/key");
    let config = read("", &[("LIFEBOAT_KMS_KEY", "alias/lifeboat")]).unwrap();
    assert_eq!(config.master_key.unwrap().to_string(), "the KMS key alias/lifeboat");
    let (message, _) = refusal("", &[("LIFEBOAT_MASTER_KEY", key), ("LIFEBOAT_KMS_KEY", "alias/lifeboat")]);
    assert_eq!(message, "LIFEBOAT_MASTER_KEY and LIFEBOAT_KMS_KEY are both set");
}

#[test]
fn values_of_another_kind_or_range_are_refused_with_their_place() {
    let cases = [
        ("vault = 7", "vault is a whole number, but takes a string in quotes"),
        ("databases = 'x'", "databases is a string, but takes a section"),
        ("[databases.shop]\njobs = 0", "databases.shop.jobs is not a number in its range"),
        ("[databases.shop]\njobs = '4'", "databases.shop.jobs is a string, but takes a whole number"),
        ("[databases.shop]\nlevel = 99999999999", "databases.shop.level is not a number in its range"),
        ("[databases.shop]\nexclude_table = [1]", "databases.shop.exclude_table is a whole number"),
        ("[databases.shop]\nblocked_ddl = 'wait'", "databases.shop.blocked_ddl is wrong"),
        ("[databases.shop]\nread = 'some'", "databases.shop.read is wrong"),
        ("[databases.shop]\nread_all_every = 1", "databases.shop.read_all_every is not a number in its range"),
        ("[databases.shop]\nfloor = { rows = -1 }", "databases.shop.floor.rows is not a number in its range"),
        ("[databases.shop]\nfloor = { plaintext_bytes = '1 apple' }", "is not a size"),
        ("[databases.Shop]\n", "is not a good database name"),
        ("[tiers.daily]\nschedule = 'at two'", "is not a schedule"),
        ("[verify]\nafter_backup = 'deep'", "is not a depth"),
    ];
    for (text, expected) in cases {
        let (message, _) = refusal(text, &[]);
        let line = text.lines().count();
        assert!(message.starts_with(&format!("/etc/lifeboat/lifeboat.toml:{line}: ")), "{text}: {message}");
        assert!(message.contains(expected), "{text}: {message}");
    }
}

#[test]
fn variables_that_others_make_are_left_alone() {
    let foreign =
        ["LIFEBOAT_SERVICE_HOST", "LIFEBOAT_SERVICE_PORT_HTTP", "LIFEBOAT_PORT", "LIFEBOAT_PORT_80_TCP_ADDR", "PATH"];
    for name in foreign {
        read("", &[(name, "10.0.0.1")]).unwrap();
    }
    assert!(read("", &[("LIFEBOAT_PORTS", "x")]).is_err());
}

#[test]
fn an_unconfigured_database_is_refused_with_the_nearest_name() {
    let config = read("[databases.shop]\n[databases.crm]\n", &[]).unwrap();
    let hint = |name: &str| config.database(&name.parse().unwrap()).unwrap_err().hint_text().unwrap().to_owned();
    assert_eq!(hint("shpo"), "did you mean shop?");
    assert_eq!(hint("warehouse"), "configured: crm, shop");
}

#[test]
fn the_file_is_looked_for_here_and_in_the_users_configuration() {
    let home = Some(Path::new("/home/ada"));
    let paths = |xdg| default_paths(home, xdg).iter().map(|p| p.display().to_string()).collect::<Vec<_>>();
    assert_eq!(paths(None), ["lifeboat.toml", "/home/ada/.config/lifeboat/lifeboat.toml"]);
    assert_eq!(paths(Some(Path::new("/xdg"))), ["lifeboat.toml", "/xdg/lifeboat/lifeboat.toml"]);
    assert_eq!(default_paths(None, None).len(), 1);
}

#[test]
fn a_connection_in_the_wrong_place_is_not_shown() {
    for connection in ["postgres://a:hunter2@b/c", "host=b Password=hunter2"] {
        for place in
            ["time_zone = ", "[tiers.daily]\nkeep_for = ", "[databases.shop]\nmax_rate = ", "[drill]\ntolerate = ["]
        {
            let end = if place.ends_with('[') { "']" } else { "'" };
            let error = read(&format!("{place}'{connection}{end}"), &[]).err().unwrap().to_json().to_string();
            assert!(error.contains("does not belong there") && !error.contains("hunter2"), "{place}: {error}");
        }
    }
}

/// Text that is often TOML, with our keys in odd places.
fn toml_like() -> impl Strategy<Value = String> {
    let key = prop::sample::select(vec![
        "vault",
        "master_key",
        "databases",
        "databases.shop",
        "connection",
        "floor",
        "tiers",
        "tiers.daily",
        "keep_last",
        "keep",
        "keep_for",
        "retention",
        "preset",
        "time_zone",
        "verify",
        "after_backup",
        "notify",
        "jobs",
        "exclude_table",
        "\"a b\"",
        "blocked_ddl",
        "level",
        "max_rate",
        "copy_format",
        "read",
        "read_all_every",
    ]);
    let value = prop::sample::select(vec![
        "1",
        "-1",
        "1.5",
        "true",
        "'x'",
        "['a']",
        "[1]",
        "{ rows = 1 }",
        "{}",
        "2026-01-01",
        "'full'",
        "0x10",
        "9223372036854775807",
        "'postgres://a:hunter2@b/c'",
        "'env:X'",
        "'1MB'",
        "'hold'",
    ]);
    let line = (key, value, any::<bool>())
        .prop_map(|(key, value, section)| if section { format!("[{key}]") } else { format!("{key} = {value}") });
    prop::collection::vec(line, 0..6).prop_map(|lines| lines.join("\n"))
}

#[test]
fn the_example_with_anything_changed_is_understood_or_refused_without_panic() {
    fuzz_text(&[include_str!("../../../infra/lifeboat.example.toml")], |text| {
        if let Err(error) = read(text, &[("LIFEBOAT_DATABASES__SHOP__JOBS", text)]) {
            assert_eq!(error.kind(), ErrorKind::Configuration);
        }
    });
}

proptest! {
    #[test]
    fn any_file_and_variables_are_understood_or_refused_without_panic(
        text in prop_oneof![toml_like(), "\\PC{0,80}", "[a-z.\\[\\]='\"{}\n ]{0,60}"],
        name in "(LIFEBOAT_)?[A-Z_]{0,20}", value in "\\PC{0,20}",
    ) {
        if let Err(error) = read(&text, &[(&name, &value)]) {
            prop_assert_eq!(error.kind(), ErrorKind::Configuration);
            prop_assert!(!error.to_json().to_string().contains("hunter2"));
        }
    }

    #[test]
    fn a_key_means_the_same_in_the_file_and_as_a_variable(jobs in 1u32..1000, keep in 1u32..1000) {
        let text = format!("[databases.shop]\njobs = {jobs}\n[tiers.daily]\nkeep_last = {keep}\n");
        let (jobs, keep) = (jobs.to_string(), keep.to_string());
        let variables =
            [("LIFEBOAT_DATABASES__SHOP__JOBS", jobs.as_str()), ("LIFEBOAT_TIERS__DAILY__KEEP_LAST", keep.as_str())];
        let (file, variables) = (read(&text, &[]).unwrap(), read("", &variables).unwrap());
        prop_assert_eq!(shop(&file).jobs, shop(&variables).jobs);
        prop_assert_eq!(file.tiers, variables.tiers);
    }
}
