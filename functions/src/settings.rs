//! What the stack tells its functions: variables of their own, beside those of the configuration.
//!
//! CloudFormation cannot make one variable per database, so the databases come as two lists, and become the configuration's
//! own variables here.

use std::collections::BTreeMap;

use lifeboat::{Error, Result};

const PREFIX: &str = "LIFEBOAT_FUNCTION_";
/// The newest backup may be this old, unless the stack says otherwise: a day and a while to make the next.
const BACKUP_AGE_LIMIT_H: u32 = 26;

/// The variables `LIFEBOAT_FUNCTION_…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Name of the stack, in alerts and metrics.
    pub stack: String,
    /// ARN of the SNS topic for alerts.
    pub alert_topic: Option<String>,
    /// Whether a verification that passed is told, too.
    pub notify_success: bool,
    /// More configuration, as in `lifeboat.toml`.
    pub toml: Option<String>,
    pub depth: ValidationDepth,
    /// Make the vault at the first backup where there is none.
    pub create_vault: bool,
    pub backup_age_limit_h: u32,
}

/// How deep a new backup is validated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ValidationDepth {
    /// In full, if that fits into an invocation.
    #[default]
    Auto,
    Quick,
    Full,
}

impl Settings {
    /// Takes the functions' own variables out of `variables`; what is left, and what is put in for them, is the
    /// configuration's.
    ///
    /// Errors: `Configuration`, naming the variable.
    pub fn take(variables: &mut BTreeMap<String, String>) -> Result<Self> {
        let mut own = Own(BTreeMap::new());
        variables.retain(|name, value| match name.strip_prefix(PREFIX) {
            Some(key) => {
                own.0.insert(key.to_owned(), value.trim().to_owned());
                false
            }
            None => true,
        });
        let settings = Self {
            stack: own.text("STACK").unwrap_or_else(|| "lifeboat".to_owned()),
            alert_topic: own.text("ALERT_TOPIC"),
            notify_success: own.flag("NOTIFY_SUCCESS")?,
            toml: own.text("SETTINGS"),
            depth: own.depth()?,
            create_vault: own.flag("CREATE_VAULT")?,
            backup_age_limit_h: own.hours("BACKUP_AGE_LIMIT_H")?.unwrap_or(BACKUP_AGE_LIMIT_H),
        };
        let (names, secrets) = (own.list("DATABASES"), own.list("DATABASE_SECRETS"));
        if names.len() != secrets.len() {
            let (names, secrets) = (names.len(), secrets.len());
            return Err(Error::configuration(format!(
                "{PREFIX}DATABASES names {names} databases and {PREFIX}DATABASE_SECRETS {secrets} secrets"
            ))
            .hint("give one secret for each database, in the same order"));
        }
        for (name, secret) in names.iter().zip(secrets) {
            let key = format!("LIFEBOAT_DATABASES__{}__CONNECTION", name.to_uppercase());
            variables.insert(key, format!("secret:{secret}"));
        }
        if let Some(secret) = own.text("RESTORE_SECRET") {
            variables.insert("LIFEBOAT_VERIFY__SERVER".to_owned(), format!("secret:{secret}"));
        }
        match own.0.keys().next() {
            None => Ok(settings),
            Some(unknown) => {
                Err(Error::configuration(format!("{PREFIX}{unknown} is not a setting of these functions"))
                    .hint("docs/functions.md lists them"))
            }
        }
    }
}

struct Own(BTreeMap<String, String>);

impl Own {
    fn text(&mut self, key: &str) -> Option<String> {
        self.0.remove(key).filter(|value| !value.is_empty())
    }

    fn list(&mut self, key: &str) -> Vec<String> {
        let text = self.text(key).unwrap_or_default();
        text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
    }

    fn flag(&mut self, key: &str) -> Result<bool> {
        match self.text(key).as_deref() {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(Error::configuration(format!("{PREFIX}{key} is neither true nor false"))),
        }
    }

    fn depth(&mut self) -> Result<ValidationDepth> {
        match self.text("DEPTH").as_deref() {
            None | Some("auto") => Ok(ValidationDepth::Auto),
            Some("quick") => Ok(ValidationDepth::Quick),
            Some("full") => Ok(ValidationDepth::Full),
            Some(_) => Err(Error::configuration(format!("{PREFIX}DEPTH is none of auto, quick, full"))),
        }
    }

    fn hours(&mut self, key: &str) -> Result<Option<u32>> {
        let hours = self.text(key).map(|text| text.parse::<u32>().ok().filter(|hours| (1..=8784).contains(hours)));
        match hours {
            None => Ok(None),
            Some(Some(hours)) => Ok(Some(hours)),
            Some(None) => Err(Error::configuration(format!("{PREFIX}{key} is not a number of hours, 1 to 8784"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn take(pairs: &[(&str, &str)]) -> Result<(Settings, BTreeMap<String, String>)> {
        let mut variables = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let settings = Settings::take(&mut variables)?;
        Ok((settings, variables))
    }

    #[test]
    fn databases_become_the_configurations_own_variables() {
        let (settings, rest) = take(&[
            ("LIFEBOAT_FUNCTION_DATABASES", "shop, my-crm"),
            ("LIFEBOAT_FUNCTION_DATABASE_SECRETS", "arn:a,arn:b"),
            ("LIFEBOAT_FUNCTION_RESTORE_SECRET", "arn:c"),
            ("LIFEBOAT_FUNCTION_ALERT_TOPIC", ""),
            ("LIFEBOAT_VAULT", "s3://bucket/prefix"),
        ])
        .unwrap();
        assert_eq!(settings.alert_topic, None);
        let rest: Vec<(&str, &str)> = rest.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(
            rest,
            [
                ("LIFEBOAT_DATABASES__MY-CRM__CONNECTION", "secret:arn:b"),
                ("LIFEBOAT_DATABASES__SHOP__CONNECTION", "secret:arn:a"),
                ("LIFEBOAT_VAULT", "s3://bucket/prefix"),
                ("LIFEBOAT_VERIFY__SERVER", "secret:arn:c"),
            ]
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        for (name, value) in [
            ("LIFEBOAT_FUNCTION_DATABASES", "shop"),
            ("LIFEBOAT_FUNCTION_DEPTH", "deep"),
            ("LIFEBOAT_FUNCTION_CREATE_VAULT", "yes"),
            ("LIFEBOAT_FUNCTION_BACKUP_AGE_LIMIT_H", "0"),
            ("LIFEBOAT_FUNCTION_DATABSES", "shop"),
        ] {
            let error = take(&[(name, value)]).unwrap_err();
            assert!(error.message().contains(name), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_variable_of_ours_reaches_the_configuration(key in "[A-Z_]{1,20}", value in ".{0,30}") {
            let name = format!("{PREFIX}{key}");
            if let Ok((_, rest)) = take(&[(&name, &value)]) {
                prop_assert!(rest.keys().all(|name| !name.starts_with(PREFIX)));
            }
        }
    }
}
