//! GET /v1/explain: by the policy in force.

use std::sync::Arc;
use std::time::Duration;

use hyper::{Response, StatusCode};
use tokio::sync::Semaphore;

use super::Body;
use super::routes::{Refused, json, starting};
use crate::control::explain;
use crate::control::view::Board;

/// Explanations under way: each builds a whole table, and must not take the processors from the run loop.
static TURN: Semaphore = Semaphore::const_new(1);
/// How long a name that no rule asks for may take to resolve.
const LOOK_UP_LIMIT: Duration = Duration::from_secs(2);

pub(super) async fn show(board: &Arc<Board>, parameters: &str) -> Result<Response<Body>, Refused> {
    let query = explain::decoded(parameters).map_err(|wrong| {
        Refused::new(
            StatusCode::BAD_REQUEST,
            "bad-request",
            wrong,
            "target, server_name and protocol are known",
        )
    })?;
    let view = board.view().ok_or_else(starting)?;
    // That nobody can be asked is no reason not to say what the policy is.
    let looked_up = explain::look_up(&view.policy, &query, LOOK_UP_LIMIT).await;
    let looked_up = looked_up.unwrap_or_default();
    let turn = TURN
        .acquire()
        .await
        .map_err(|_| failed("the turn of an explanation is gone"))?;
    let names = board.names.clone();
    let explained = tokio::task::spawn_blocking(move || {
        // Kept until the work is done, also when nobody waits for it any more.
        let _turn = turn;
        explain::of_view(&view, &looked_up, &names, &query)
    })
    .await;
    match explained {
        Ok(Ok(explanation)) => Ok(json(&explanation)),
        Ok(Err(error)) => Err(failed(format!("{error:#}"))),
        Err(_) => Err(failed("the explanation could not be worked out")),
    }
}

pub(super) fn failed(message: impl Into<String>) -> Refused {
    Refused::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "failed",
        message,
        "look at the daemon's log, and report it",
    )
}
