//! The command `lifeboat`: parse, run one operation, print its answer. `docs/cli.md` is its contract.

mod answer;
mod args;
mod context;
mod human;
mod master_key;
mod paint;
mod progress;
mod screen;
mod signals;
mod verb;

use std::process::ExitCode;

use clap::Parser;
use lifeboat::telemetry::{self, LogFormat};
use lifeboat::{Error, Result};
use tokio_util::sync::CancellationToken;
use tracing::Level;

use crate::answer::{Answer, Printer};
use crate::args::{Cli, Common, LogStyle, Verb};
use crate::context::Context;
use crate::paint::Paint;
use crate::screen::Screen;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(refused) => return answer::refuse(&refused),
    };
    let screen = Screen::default();
    start_log(&cli.common, &screen);
    let printer = Printer::new(&cli.common, screen.clone());
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return printer.print(Err(Error::bug("the runtime did not start").because(error))),
    };
    let answer = runtime.block_on(run(cli, screen, printer.paint()));
    let code = printer.print(answer);
    // What still runs is only what nobody waits for.
    runtime.shutdown_background();
    code
}

fn start_log(common: &Common, screen: &Screen) {
    let level = match common.verbose {
        _ if common.quiet => Level::ERROR,
        0 => Level::WARN,
        1 => Level::INFO,
        _ => Level::DEBUG,
    };
    let format = match common.log_format {
        LogStyle::Text => LogFormat::Text { color: Paint::for_stream(common.color, &std::io::stderr()).is_on() },
        LogStyle::Json => LogFormat::Json,
    };
    let screen = screen.clone();
    telemetry::init(env!("CARGO_BIN_NAME"), level, format, move || screen.clone());
}

async fn run(cli: Cli, screen: Screen, paint: Paint) -> Result<Answer> {
    let cancel = CancellationToken::new();
    signals::cancel_on_signals(&cancel, &screen);
    let Cli { common, verb } = cli;
    // Needs no configuration, so none can be in its way.
    if let Verb::Completions(args) = verb {
        return Ok(verb::completions::run(args));
    }
    let (stops_cleanly, stopped) = (verb.stops_cleanly(), cancel.clone());
    let work = async {
        let context = Context::new(common, screen, paint, cancel)?;
        verb.run(&context).await
    };
    tokio::select! {
        done = telemetry::or_fault(work) => done,
        () = stopped.cancelled(), if !stops_cleanly => Err(Error::out_of_time("stopped on request").hint("run it again")),
    }
}

impl Verb {
    async fn run(self, context: &Context) -> Result<Answer> {
        match self {
            Self::Init(args) => verb::init::run(args, context).await,
            Self::Doctor(args) => verb::doctor::run(args, context).await,
            Self::Backup(args) => verb::backup::run(args, context).await,
            Self::List(args) => verb::list::run(args, context).await,
            Self::Show(args) => verb::show::run(args, context).await,
            Self::Check(args) => verb::check::run(args, context).await,
            Self::Cleanup(args) => verb::cleanup::run(args, context).await,
            Self::Delete(args) => verb::delete::run(args, context).await,
            Self::Undelete(args) => verb::delete::run_undelete(args, context).await,
            Self::Hold(args) => verb::hold::run(args, context).await,
            Self::Release(args) => verb::hold::run_release(args, context).await,
            Self::Pull(args) => verb::pull::run(args, context).await,
            Self::Push(args) => verb::push::run(args, context).await,
            Self::Status(args) => verb::status::run(args, context).await,
            Self::Notify(args) => verb::notify::run(args, context).await,
            Self::Stats(args) => verb::stats::run(args, context).await,
            Self::Cost(args) => verb::cost::run(args, context).await,
            Self::Audit(args) => verb::audit::run(args, context).await,
            Self::Keys(args) => verb::keys::run(args, context).await,
            Self::Restore(args) => verb::restore::run(args, context).await,
            Self::Thaw(args) => verb::thaw::run(args, context).await,
            Self::Drill(args) => verb::drill::run(args, context).await,
            Self::Verify(args) => verb::verify::run(args, context).await,
            Self::Completions(args) => Ok(verb::completions::run(args)),
        }
    }

    /// Whether the operation watches for a request to stop, and tidies up when one comes. The others can be dropped at
    /// any point.
    fn stops_cleanly(&self) -> bool {
        match self {
            Self::Backup(_) | Self::Verify(_) | Self::Restore(_) | Self::Check(_) | Self::Cleanup(_) => true,
            Self::Pull(_) | Self::Push(_) | Self::Thaw(_) | Self::Drill(_) => true,
            Self::Init(_) | Self::Doctor(_) | Self::List(_) | Self::Show(_) => false,
            Self::Status(_) | Self::Notify(_) | Self::Stats(_) | Self::Cost(_) | Self::Audit(_) => false,
            Self::Completions(_) | Self::Keys(_) => false,
            Self::Delete(_) | Self::Undelete(_) | Self::Hold(_) | Self::Release(_) => false,
        }
    }
}
