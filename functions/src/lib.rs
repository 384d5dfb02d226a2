//! What the Lambda functions share: their deployment, one invocation, alerts and metrics.
//!
//! Each function is a page in `functions/‹name›/main.rs`: it reads its event, calls one operation of the engine, and answers
//! with the object that the command line would print. `docs/functions.md` is their contract.

mod alarm;
mod deployment;
mod invocation;
pub mod manifest_key;
mod metrics;
mod settings;

pub use deployment::Deployment;
pub use invocation::{Invocation, serve, understood};
pub use metrics::{Metric, Scope, Unit};
pub use settings::ValidationDepth;
