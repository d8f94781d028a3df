//! What is asked, and what is answered.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use serde::Serialize;
use tokio::time::timeout;

use super::{Body, events, explain, plan};
use crate::control::access::Rights;
use crate::control::filter::Query;
use crate::control::metrics::{self, usage::Usage};
use crate::control::model::Problem;
use crate::control::status::{self, Now};
use crate::control::view::{Board, Order, OrderError};
use crate::control::{VERSION, VERSION_HEADER};

/// How long the run loop has to look again before what it published last is shown.
const REFRESH_LIMIT: Duration = Duration::from_secs(1);
/// How long a reload may take: names are waited for, and programs may be loaded.
const RELOAD_LIMIT: Duration = Duration::from_secs(60);
/// Most bytes of a request's body, and how long it may take.
const BODY_MAX: usize = 64 << 10;
const BODY_LIMIT: Duration = Duration::from_secs(5);

/// The header with the process that answers: who reconnects sees so that it is another one.
pub(super) const PID_HEADER: &str = "enforcer-pid";

const JSON: &str = "application/json";
const LINES: &str = "application/jsonl";

/// Answers one request of somebody who may at least ask.
pub(super) async fn answer(request: Request<Incoming>, rights: Rights, board: &Arc<Board>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let query = head.uri.query().unwrap_or_default();
    let answered = match (&head.method, head.uri.path()) {
        (&Method::GET, "/v1/status") => show_status(board).await,
        (&Method::GET, "/v1/events") => show_events(board, query).await,
        (&Method::GET, "/v1/usage") => show_usage(board).await,
        (&Method::GET, "/v1/explain") => explain::show(board, query).await,
        (&Method::GET, "/v1/plan") => plan::show(board).await,
        (&Method::GET, "/metrics") => show_metrics(board).await,
        (&Method::POST, "/v1/reload") => match changes(rights, body).await {
            Ok(()) => reload(board).await,
            Err(refused) => Err(refused),
        },
        (_, "/v1/status" | "/v1/events" | "/v1/usage" | "/v1/explain" | "/v1/plan" | "/metrics") => {
            Err(wrong_method("GET"))
        }
        (_, "/v1/reload") => Err(wrong_method("POST")),
        _ => Err(Refused::new(
            StatusCode::NOT_FOUND,
            "not-found",
            "there is nothing at this path",
            format!(
                "this daemon is enforcer {} and speaks version {VERSION}",
                env!("CARGO_PKG_VERSION")
            ),
        )),
    };
    answered.unwrap_or_else(Refused::response)
}

/// An answer that is an error.
pub(super) struct Refused {
    status: StatusCode,
    allow: Option<&'static str>,
    problem: Problem,
}

impl Refused {
    pub(super) fn new(
        status: StatusCode,
        code: &str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self {
            status,
            allow: None,
            problem: problem(code, message, hint),
        }
    }

    pub(super) fn response(self) -> Response<Body> {
        let mut response = json(&self.problem);
        *response.status_mut() = self.status;
        if let Some(allow) = self.allow {
            response
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static(allow));
        }
        response
    }
}

fn problem(code: &str, message: impl Into<String>, hint: impl Into<String>) -> Problem {
    Problem {
        version: VERSION,
        code: code.to_owned(),
        message: message.into(),
        hint: Some(hint.into()),
    }
}

pub(super) fn wrong_method(allow: &'static str) -> Refused {
    Refused {
        allow: Some(allow),
        ..Refused::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "bad-request",
            "this path is not asked in this way",
            format!("use {allow}"),
        )
    }
}

pub(super) fn starting() -> Refused {
    Refused::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "starting",
        "the daemon is starting: its policy is not in force yet",
        "ask again in a moment; what an earlier daemon has pinned stays in force meanwhile",
    )
}

impl From<OrderError> for Refused {
    fn from(error: OrderError) -> Self {
        let (status, code) = match error {
            OrderError::Busy => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
            OrderError::Silent => (StatusCode::GATEWAY_TIMEOUT, "silent"),
        };
        let hint = "look at its log; what is in force stays, and `systemctl restart enforcer` takes it over without a gap";
        Self::new(status, code, error.to_string(), hint)
    }
}

/// Whether somebody may change something, once all of what he sends is there.
async fn changes(rights: Rights, body: Incoming) -> Result<(), Refused> {
    if rights < Rights::Change {
        return Err(Refused::new(
            StatusCode::FORBIDDEN,
            "forbidden",
            "only root may change something; the group of `[control]` may only ask",
            "run it as root: `sudo enforcer ...`",
        ));
    }
    let whole = Limited::new(body, BODY_MAX).collect();
    match timeout(BODY_LIMIT, whole).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(_)) => Err(Refused::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "bad-request",
            "the body of the request is too large, or broken",
            "send none",
        )),
        Err(_) => Err(Refused::new(
            StatusCode::REQUEST_TIMEOUT,
            "bad-request",
            "the body of the request did not come in time",
            "send none",
        )),
    }
}

async fn show_status(board: &Board) -> Result<Response<Body>, Refused> {
    let view = board.newest(REFRESH_LIMIT).await.ok_or_else(starting)?;
    let status = status::of(&view, board.history.kept(), board.last_sign(), Now::read());
    Ok(json(&status))
}

async fn show_metrics(board: &Board) -> Result<Response<Body>, Refused> {
    let text = metrics_text(board).await.ok_or_else(starting)?;
    Ok(response(metrics::CONTENT_TYPE, Full::from(text).boxed_unsync()))
}

/// The metrics of now; `None` before the policy is in force.
pub(super) async fn metrics_text(board: &Board) -> Option<String> {
    let view = board.newest(REFRESH_LIMIT).await?;
    let now = Now::read();
    let status = status::of(&view, board.history.kept(), board.last_sign(), now);
    Some(metrics::page(&view, &status, now, Usage::read()))
}

async fn show_events(board: &Arc<Board>, query: &str) -> Result<Response<Body>, Refused> {
    let query = Query::decode(query).map_err(|error| {
        Refused::new(
            StatusCode::BAD_REQUEST,
            "bad-request",
            error.to_string(),
            "since, follow, verdict, process, name and to are known",
        )
    })?;
    // What has just happened is read first; before there is a policy nothing can have.
    let _view = board.newest(REFRESH_LIMIT).await.ok_or_else(starting)?;
    Ok(response(LINES, events::stream(board, query)))
}

async fn show_usage(board: &Board) -> Result<Response<Body>, Refused> {
    board.newest(REFRESH_LIMIT).await.ok_or_else(starting)?;
    Ok(json(&board.usage.report()))
}

async fn reload(board: &Board) -> Result<Response<Body>, Refused> {
    if board.view().is_none() {
        return Err(starting());
    }
    let outcome = board.order(RELOAD_LIMIT, |reply| Order::Reload { reply }).await?;
    Ok(json(&outcome))
}

pub(super) fn json(document: &impl Serialize) -> Response<Body> {
    // Of these types every value can be written.
    let mut text = serde_json::to_vec(document).unwrap_or_default();
    text.push(b'\n');
    response(JSON, Full::from(text).boxed_unsync())
}

pub(super) fn response(kind: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(VERSION_HEADER, HeaderValue::from(VERSION));
    headers.insert(PID_HEADER, HeaderValue::from(std::process::id()));
    response
}

/// Whole answers for those whose request is never read.
pub(super) mod canned {
    use super::{JSON, PID_HEADER, Problem, VERSION, VERSION_HEADER, problem};

    /// For somebody without rights.
    pub(in super::super) fn forbidden(uid: u32) -> Vec<u8> {
        let message = format!("the user with the id {uid} may not ask this enforcer");
        let hint = "run it as root (`sudo enforcer ...`), or have root name one of your groups in enforcer.toml: \
                    `group = \"NAME\"` under [control]";
        answer("403 Forbidden", &problem("forbidden", message, hint))
    }

    /// For somebody too many.
    pub(in super::super) fn busy() -> Vec<u8> {
        let hint = "end some of those who follow (`enforcer observe -f`), and ask again";
        answer(
            "503 Service Unavailable",
            &problem("busy", "too many talk to this enforcer already", hint),
        )
    }

    fn answer(status: &str, problem: &Problem) -> Vec<u8> {
        let body = serde_json::to_string(problem).unwrap_or_default() + "\n";
        format!(
            "HTTP/1.1 {status}\r\ncontent-type: {JSON}\r\n{VERSION_HEADER}: {VERSION}\r\n{PID_HEADER}: {}\r\n\
             content-length: {}\r\nconnection: close\r\n\r\n{body}",
            std::process::id(),
            body.len()
        )
        .into_bytes()
    }
}
