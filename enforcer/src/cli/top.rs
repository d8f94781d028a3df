//! `enforcer top`: the live view. Here are the terminal, the daemon and the clock; what is shown is the matter of
//! [`crate::top`].

mod feed;
mod screen;

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use self::screen::{Input, Screen};
use super::message::Failure;
use super::service::{self, Service};
use crate::control::client::{Client, Entries};
use crate::control::filter::Query;
use crate::control::history::Moment;
use crate::control::model::Status;
use crate::state::Instance;
use crate::top::{Model, News, Step};

/// What happens is shown at most so often; keys are answered at once.
const BETWEEN_FRAMES: Duration = Duration::from_millis(250);
/// Ages grow.
const TICK: Duration = Duration::from_secs(1);
/// News that are taken in one go.
const NEWS_MAX: usize = 512;
/// What shells add to the number of the signal that ended a command.
const SIGNALLED: i32 = 128;

/// Show what is denied and granted, live
///
/// Denials by process, name, reason, unit and container; names with the age of their answers; events as they come. It
/// begins with what the daemon remembers, and goes on over restarts of the daemon. `?` lists the keys, `q` quits.
///
/// It needs a terminal, and root or membership in the group of `[control]` in the configuration. Colours are left out when
/// NO_COLOR is set; nothing is said by colour alone.
#[derive(Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    service: Service,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        return Err(Failure::msg(
            "`enforcer top` draws on a terminal, and here is none",
            "for a pipe or a file there are `enforcer status -o json` and `enforcer observe -f -o json`",
        )
        .into());
    }
    if std::env::var_os("TERM").is_some_and(|terminal| terminal == "dumb") {
        return Err(Failure::msg(
            "`enforcer top` can not draw on this terminal: TERM is `dumb`",
            "use `enforcer status` and `enforcer observe -f` there",
        )
        .into());
    }
    let instance = &arguments.service.instance;
    super::block_on(async {
        let client = Client::of(instance);
        // From the beginning of what is remembered.
        let query = Query {
            follow: true,
            ..Query::default()
        };
        let begin = async { Ok((client.status().await?, client.entries(&query).await?)) };
        let (status, entries) = begin.await.map_err(|error| service::failure(instance, error))?;
        show(instance, client, status, entries).await
    })?
}

/// Shows it until the user has seen enough.
async fn show(
    instance: &Instance,
    client: Client,
    status: Status,
    entries: Entries,
) -> anyhow::Result<ExitCode> {
    let mut model = Model::new(&instance.to_string());
    model.hear(Moment::now(), News::Status(Box::new(status)));
    let listening = "signals can not be waited for";
    let mut ends = signal(SignalKind::terminate()).context(listening)?;
    let mut interrupts = signal(SignalKind::interrupt()).context(listening)?;
    let mut hangs_up = signal(SignalKind::hangup()).context(listening)?;
    let mut stops = signal(SignalKind::from_raw(libc::SIGTSTP)).context(listening)?;
    let mut resumes = signal(SignalKind::from_raw(libc::SIGCONT)).context(listening)?;

    let mut screen = Screen::open()?;
    let mut inputs = screen::inputs();
    let mut feed = feed::start(instance.clone(), client, entries);
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut news = Vec::with_capacity(NEWS_MAX);
    let mut next_frame = Instant::now();
    // When the next frame is due; `None` while nothing has changed.
    let mut due = Some(next_frame);
    loop {
        let frame_is_due = async {
            match due {
                Some(due) => sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            _ = ends.recv() => return Ok(ended_by(libc::SIGTERM)),
            _ = interrupts.recv() => return Ok(ended_by(libc::SIGINT)),
            _ = hangs_up.recv() => return Ok(ended_by(libc::SIGHUP)),
            _ = stops.recv() => screen.stop()?,
            _ = resumes.recv() => {
                screen.resume()?;
                due = Some(Instant::now());
            }
            input = inputs.recv() => {
                match input.context("nothing can be read from the terminal any more")? {
                    Input::Key(key) => if model.press(Moment::now(), key) == Step::Quit {
                        return Ok(ExitCode::SUCCESS);
                    },
                    Input::Stop => screen.stop()?,
                    Input::Redraw => screen.forget()?,
                    Input::Resized => {}
                }
                due = Some(Instant::now());
            }
            () = frame_is_due => {
                screen.draw(&model, Moment::now())?;
                due = None;
                next_frame = Instant::now() + BETWEEN_FRAMES;
            }
            count = feed.recv_many(&mut news, NEWS_MAX) => {
                anyhow::ensure!(count > 0, "nobody asks the daemon any more");
                for news in news.drain(..) {
                    model.hear(Moment::now(), news);
                }
                due = due.or(Some(next_frame));
            }
            _ = tick.tick() => due = due.or(Some(next_frame)),
        }
    }
}

fn ended_by(signal: i32) -> ExitCode {
    ExitCode::from(u8::try_from(SIGNALLED + signal).unwrap_or(u8::MAX))
}
