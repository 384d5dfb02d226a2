//! Ctrl-C and SIGTERM: the first asks the work to stop cleanly, the second ends it.

use lifeboat::ErrorKind;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::screen::Screen;

/// From now on, cancels `cancel` at the first signal and ends the process at the second.
pub fn cancel_on_signals(cancel: &CancellationToken, screen: &Screen) {
    let (Ok(interrupt), Ok(terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) else {
        // Without handlers a signal just ends the process, which is safe at any point.
        return;
    };
    tokio::spawn(watch(interrupt, terminate, cancel.clone(), screen.clone()));
}

async fn watch(mut interrupt: Signal, mut terminate: Signal, cancel: CancellationToken, screen: Screen) {
    next(&mut interrupt, &mut terminate).await;
    cancel.cancel();
    screen.say("stopping … (once more to stop at once)");
    next(&mut interrupt, &mut terminate).await;
    screen.clear();
    std::process::exit(ErrorKind::OutOfTime.exit_code().into());
}

async fn next(interrupt: &mut Signal, terminate: &mut Signal) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
