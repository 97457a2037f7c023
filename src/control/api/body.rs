//! Bodies and path parameters, bounded, with refusals of our own. Never keeps more of a body than its limit.

use std::time::Duration;

use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use http_body_util::BodyExt as _;
use serde_json::Value;

use crate::control::problem::{ApiError, MOST_BODY};

/// For a whole body to arrive.
const DEADLINE: Duration = Duration::from_secs(10);
/// A body over the limit is read on and dropped up to this size, so that its sender gets to read the refusal instead of
/// a reset connection.
const DRAINED: usize = 16 << 20;

/// A JSON body.
pub(super) struct JsonBody(pub(super) Value);

impl<S: Send + Sync> FromRequest<S> for JsonBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let bytes = bytes(request).await?;
        match serde_json::from_slice(&bytes) {
            Ok(value) => Ok(JsonBody(value)),
            Err(error) => {
                let (line, column) = (error.line(), error.column());
                // The parser's text ends in the same place once more.
                let what = error.to_string();
                let what = what.split(" at line ").next().unwrap_or_default().to_owned();
                Err(ApiError::BadJson { line, column, what })
            }
        }
    }
}

/// A whole body, bounded in size and time.
pub(in crate::control) async fn bytes(request: Request) -> Result<Vec<u8>, ApiError> {
    // Whoever asks before sending is told before sending.
    if request.headers().contains_key(header::EXPECT) && announced(request.headers()) > MOST_BODY {
        return Err(ApiError::BodyTooLarge);
    }
    tokio::time::timeout(DEADLINE, read(request)).await.map_err(|_| ApiError::BodyTooSlow)?
}

fn announced(headers: &HeaderMap) -> usize {
    headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok()).unwrap_or(0)
}

async fn read(request: Request) -> Result<Vec<u8>, ApiError> {
    let mut body = request.into_body();
    let (mut bytes, mut total) = (Vec::new(), 0usize);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| ApiError::BodyBroken)?;
        let Some(data) = frame.data_ref() else { continue };
        total = total.saturating_add(data.len());
        if total <= MOST_BODY {
            bytes.extend_from_slice(data);
        } else if total > DRAINED {
            break;
        }
    }
    if total > MOST_BODY { Err(ApiError::BodyTooLarge) } else { Ok(bytes) }
}

/// The one parameter of a path.
pub(super) struct Named(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let named: Result<Path<String>, PathRejection> = Path::from_request_parts(parts, state).await;
        // Not UTF-8: no code and no click id is.
        named.map(|Path(name)| Named(name)).map_err(|_| ApiError::NoSuchRoute)
    }
}
