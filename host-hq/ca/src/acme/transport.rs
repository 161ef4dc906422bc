//! instant-acme's connection to [`HttpsClient`].
//!
//! It keeps what the library drops (the last reply, with `Retry-After` and `expires`) where the
//! operation that is under way finds it, and hands the last nonce of an operation to the next one,
//! which saves a round trip.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::BodyExt;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};

use super::http::{HttpFault, HttpsClient, Reply};
use super::jws::REPLAY_NONCE;

/// The client that instant-acme uses.
#[derive(Clone)]
pub(crate) struct Transport {
    http: HttpsClient,
    nonces: Arc<NoncePool>,
}

/// What the operation under way has seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// The last reply and its URL.
    pub(crate) last: Option<(String, Reply)>,
}

tokio::task_local! {
    // instant-acme awaits its client in place, so the request runs in the operation's task.
    static SEEN: RefCell<Seen>;
}

impl Transport {
    pub(crate) fn new(http: HttpsClient) -> Self {
        Self {
            http,
            nonces: Arc::default(),
        }
    }

    pub(crate) fn http(&self) -> &HttpsClient {
        &self.http
    }

    /// Runs one operation. Its last nonce, which nobody can use any more, goes to the pool.
    pub(crate) async fn operation<T>(&self, operation: impl Future<Output = T>) -> T {
        SEEN.scope(RefCell::default(), async {
            let result = operation.await;
            if let Some((_, reply)) = last()
                && let Some(nonce) = reply.header(REPLAY_NONCE)
            {
                self.nonces.put(nonce.to_owned());
            }
            result
        })
        .await
    }

    /// Sends a request that is not signed, and keeps its reply like those of instant-acme.
    pub(crate) async fn plain(&self, request: Request<Bytes>) -> Result<Reply, HttpFault> {
        let url = request.uri().to_string();
        let result = self.http.send(request).await;
        remember(result.as_ref().ok().map(|reply| (url, reply.clone())));
        result
    }

    async fn send(self, request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, Error> {
        // Only `newNonce` is asked for by HEAD (RFC 8555 section 7.2).
        if request.method() == Method::HEAD
            && let Some(nonce) = self.nonces.take()
        {
            let response = Response::builder()
                .header(REPLAY_NONCE, nonce)
                .body(Bytes::new())?;
            return Ok(convert(response));
        }
        let (parts, body) = request.into_parts();
        let url = parts.uri.to_string();
        let body = match body.collect().await {
            Ok(body) => body.to_bytes(),
            Err(never) => match never {},
        };
        match self.http.send(Request::from_parts(parts, body)).await {
            Ok(reply) => {
                let mut response = Response::new(reply.body.clone());
                *response.status_mut() = reply.status;
                *response.headers_mut() = reply.headers.clone();
                remember(Some((url, reply)));
                Ok(convert(response))
            }
            Err(fault) => {
                remember(None);
                Err(Error::Other(Box::new(fault)))
            }
        }
    }
}

impl HttpClient for Transport {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        Box::pin(self.clone().send(request))
    }
}

/// The last reply that the operation under way has seen; none after a fault.
pub(crate) fn last() -> Option<(String, Reply)> {
    SEEN.try_with(|seen| seen.borrow().last.clone())
        .ok()
        .flatten()
}

fn remember(last: Option<(String, Reply)>) {
    // Outside an operation there is nobody to remember for.
    let _ = SEEN.try_with(|seen| seen.borrow_mut().last = last);
}

fn convert(response: Response<Bytes>) -> BytesResponse {
    let (parts, body) = response.into_parts();
    BytesResponse {
        parts,
        body: Box::new(body),
    }
}

/// Unused nonces, newest last.
#[derive(Debug, Default)]
struct NoncePool(Mutex<Vec<(String, Instant)>>);

impl NoncePool {
    fn put(&self, nonce: String) {
        let mut pool = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if pool.len() < NONCES_MAX {
            pool.push((nonce, Instant::now()));
        }
    }

    fn take(&self) -> Option<String> {
        let mut pool = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pool.retain(|(_, since)| since.elapsed() < NONCE_AGE);
        pool.pop().map(|(nonce, _)| nonce)
    }
}

const NONCES_MAX: usize = 16;
/// CAs forget nonces after minutes to hours; one that was forgotten costs a round trip.
const NONCE_AGE: Duration = Duration::from_secs(120);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pool_gives_each_nonce_once_and_is_bounded() {
        let pool = NoncePool::default();
        for number in 0..100 {
            pool.put(number.to_string());
        }
        let mut taken = Vec::new();
        while let Some(nonce) = pool.take() {
            taken.push(nonce);
        }
        assert_eq!(taken.len(), NONCES_MAX);
        taken.sort_unstable();
        taken.dedup();
        assert_eq!(taken.len(), NONCES_MAX);
    }
}
