//! Between the server's sockets and the script.

use std::sync::Arc;

use hickory_proto::op::{Edns, Header, HeaderCounts, Metadata, ResponseCode};
use hickory_server::net::runtime::Time;
use hickory_server::net::xfer::Protocol;
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::MessageResponseBuilder;

use super::zone::{Fault, Reply};
use super::{Asked, Shared, lock};

/// Largest UDP answer, as today's name servers have it (DNS flag day 2020).
const UDP_PAYLOAD_MAX: u16 = 1232;

/// Answers every question from the script.
pub(super) struct Handler {
    pub(super) shared: Arc<Shared>,
}

#[async_trait::async_trait]
impl RequestHandler for Handler {
    async fn handle_request<R: ResponseHandler, T: Time>(
        &self,
        request: &Request,
        mut response_handle: R,
    ) -> ResponseInfo {
        let tcp = request.protocol() != Protocol::Udp;
        let mut head = Metadata::response_from_request(&request.metadata);
        head.recursion_available = true;
        let Ok(info) = request.request_info() else {
            head.response_code = ResponseCode::FormErr;
            return unsent(head);
        };
        let name = info.query.name().to_string();
        let asked = Asked {
            name: super::zone::key(&name),
            kind: info.query.query_type(),
            tcp,
            from: request.src(),
        };
        // Counted first: what is counted after a change of the script is answered by the changed script.
        lock(&self.shared.asked).push(asked.clone());
        let mut reply = lock(&self.shared.zone).reply(&asked.name, asked.kind);
        tokio::time::sleep(reply.delay).await;

        head.response_code = code(&reply);
        match reply.fault {
            Some(Fault::Silence) => return unsent(head),
            Some(Fault::ServFail | Fault::Refused) => {
                reply.answers.clear();
                reply.soa = None;
            }
            Some(Fault::Truncate) if !tcp => {
                head.truncation = true;
                reply.answers.clear();
            }
            Some(Fault::Truncate | Fault::NxDomain | Fault::NoData) | None => {}
        }

        let mut edns = Edns::new();
        edns.set_max_payload(
            request
                .edns
                .as_ref()
                .map_or(UDP_PAYLOAD_MAX, Edns::max_payload)
                .min(UDP_PAYLOAD_MAX),
        );
        let mut builder = MessageResponseBuilder::from_message_request(request);
        if request.edns.is_some() {
            builder.edns(&edns);
        }
        let response = builder.build(head, &reply.answers, [], &reply.soa, []);
        response_handle
            .send_response(response)
            .await
            // A client that went away is its own affair.
            .unwrap_or_else(|_| unsent(head))
    }
}

fn code(reply: &Reply) -> ResponseCode {
    match reply.fault {
        Some(Fault::ServFail) => ResponseCode::ServFail,
        Some(Fault::Refused) => ResponseCode::Refused,
        Some(Fault::NxDomain) => ResponseCode::NXDomain,
        Some(Fault::NoData | Fault::Silence | Fault::Truncate) | None => ResponseCode::NoError,
    }
}

/// What the server is told when no answer went out.
fn unsent(metadata: Metadata) -> ResponseInfo {
    ResponseInfo::from(Header {
        metadata,
        counts: HeaderCounts::default(),
    })
}
