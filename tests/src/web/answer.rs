//! Answers that need no file.

use std::io;

use http_body_util::{BodyExt, Empty, Full, combinators::BoxBody};
use hyper::body::{Bytes, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::{Method, Request, Response, StatusCode};

/// The body of an answer.
pub(super) type Body = BoxBody<Bytes, io::Error>;

/// An answer without a body.
pub(super) fn plain(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Empty::new().map_err(|never| match never {}).boxed());
    *response.status_mut() = status;
    response
}

/// Reads a request to its end. Who asks for something gets a sentence: whom he reached, how, and the how many-th request
/// of the session it was.
pub(super) async fn collect(
    request: Request<Incoming>,
    server_name: Option<&str>,
    number: u64,
) -> Response<Body> {
    let (head, mut body) = request.into_parts();
    while let Some(frame) = body.frame().await {
        if frame.is_err() {
            return plain(StatusCode::BAD_REQUEST);
        }
    }
    if head.method != Method::GET {
        return plain(StatusCode::CREATED);
    }
    let name = server_name.unwrap_or("nobody");
    let text = format!(
        "{name} over {:?}, request {number} of the session\n",
        head.version
    );
    let mut response = Response::new(Full::from(text).map_err(|never| match never {}).boxed());
    response.headers_mut().insert(
        CONTENT_TYPE,
        hyper::header::HeaderValue::from_static("text/plain"),
    );
    response
}
