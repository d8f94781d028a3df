//! One way to one upstream: a connection that is opened when it is needed, kept, and opened again when it broke.
//!
//! The library's own pool is not used: it hides why a connection failed ("no connections available" for a certificate
//! that nobody trusts), and an operator has to see that.

use std::net::IpAddr;
use std::sync::Arc;

use hickory_proto::op::{DnsRequest, DnsResponse};
use hickory_resolver::config::ConnectionConfig;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::xfer::{DnsExchange, DnsHandle, FirstAnswer};
use hickory_resolver::{ConnectionProvider, PoolContext};
use tokio::sync::Mutex;

/// A connection to an upstream by one protocol.
pub(super) struct Wire {
    address: IpAddr,
    config: ConnectionConfig,
    context: Arc<PoolContext>,
    provider: TokioRuntimeProvider,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    /// Tells connections apart: only the one that broke is thrown away.
    number: u64,
    connection: Option<DnsExchange<TokioRuntimeProvider>>,
}

impl Wire {
    pub(super) fn new(address: IpAddr, config: ConnectionConfig, context: Arc<PoolContext>) -> Self {
        Self {
            address,
            config,
            context,
            provider: TokioRuntimeProvider::default(),
            open: Mutex::new(Open::default()),
        }
    }

    /// Sends one request and waits for its answer, for as long as the caller keeps waiting.
    pub(super) async fn ask(&self, request: &DnsRequest) -> Result<DnsResponse, NetError> {
        let mut may_repeat = true;
        loop {
            let (connection, number, is_reused) = self.connection().await?;
            let error = match connection.send(request.clone()).first_answer().await {
                Ok(response) => return Ok(response),
                Err(error) => error,
            };
            self.forget(number).await;
            // An upstream closes a connection that was idle for long; that says nothing about the question.
            if !(is_reused && error.is_connection_closed() && std::mem::take(&mut may_repeat)) {
                return Err(error);
            }
        }
    }

    /// Throws the connection away. To be called when an answer was waited for in vain: the other end may be gone.
    pub(super) fn reset(&self) {
        // When it is locked, a new one is being opened already.
        if let Ok(mut open) = self.open.try_lock() {
            open.connection = None;
        }
    }

    /// The connection, its number, and whether it was open already. Whoever comes while it is being opened waits for it.
    async fn connection(&self) -> Result<(DnsExchange<TokioRuntimeProvider>, u64, bool), NetError> {
        let mut open = self.open.lock().await;
        if let Some(connection) = &open.connection {
            return Ok((connection.clone(), open.number, true));
        }
        let connecting = self
            .provider
            .new_connection(self.address, &self.config, &self.context)?;
        let connection = connecting.await?;
        open.number += 1;
        open.connection = Some(connection.clone());
        Ok((connection, open.number, false))
    }

    async fn forget(&self, number: u64) {
        let mut open = self.open.lock().await;
        if open.number == number {
            open.connection = None;
        }
    }
}
