//! GET /v1/plan: what a reload would change now.

use std::sync::Arc;
use std::time::Duration;

use hyper::Response;
use tokio::sync::Semaphore;

use super::Body;
use super::explain::failed;
use super::routes::{Refused, json, starting};
use crate::control::plan;
use crate::control::view::Board;

/// Plans under way: each reads files, asks for names and builds whole tables.
static TURN: Semaphore = Semaphore::const_new(1);
/// How long the names that are new may take to resolve.
const LOOK_UP_LIMIT: Duration = Duration::from_secs(10);

pub(super) async fn show(board: &Arc<Board>) -> Result<Response<Body>, Refused> {
    let view = board.view().ok_or_else(starting)?;
    let turn = TURN
        .acquire()
        .await
        .map_err(|_| failed("the turn of a plan is gone"))?;
    let file = view.file.clone();
    let gone = |_| failed("the plan could not be worked out");
    // The turn is kept until the work is done, also when nobody waits for it any more.
    let (loaded, turn) = tokio::task::spawn_blocking(move || (plan::load(&file), turn))
        .await
        .map_err(gone)?;
    let answers = match &loaded.policy {
        Ok(policy) => plan::answers(&view, policy, LOOK_UP_LIMIT).await,
        Err(_) => Ok(crate::resolve::Snapshot::default()),
    };
    let report = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        plan::report(&view, loaded, answers)
    })
    .await;
    Ok(json(&report.map_err(gone)?))
}
