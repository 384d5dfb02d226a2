//! How long a test may take: little for everybody who changes something, long for who looks for trouble.

/// `short`, or `long` under `make soak`, which sets `LIFEBOAT_SOAK`.
pub fn soak<T>(short: T, long: T) -> T {
    match std::env::var_os("LIFEBOAT_SOAK") {
        Some(set) if !set.is_empty() => long,
        _ => short,
    }
}
