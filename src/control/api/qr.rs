//! `GET /v1/links/{code}/qr.svg` and `/qr.png`: the short link as a QR code, for whoever may see the link.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::body::Named;
use super::{Api, query};
use crate::control::answer::short_url;
use crate::control::fields::FieldFault;
use crate::control::guard::Caller;
use crate::control::problem::ApiError;
use crate::control::qr::{Drawing, Drawn, Level, MARGINS, PARAMETERS, QrError, SIZES};

/// The longest parameter, in bytes.
const LONGEST: usize = 16;
/// What a code leads to never changes, who may see it hardly does.
const KEPT: HeaderValue = HeaderValue::from_static("private, max-age=3600");
/// An image opened by itself runs nothing and fetches nothing.
const POLICY: HeaderValue = HeaderValue::from_static("default-src 'none'");

pub(super) async fn svg(
    state: State<Arc<Api>>,
    caller: Extension<Caller>,
    code: Named,
    raw: RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let drawn = drawn(state, caller, code, raw).await?;
    Ok(image("image/svg+xml", drawn.svg().into_bytes(), &headers))
}

pub(super) async fn png(
    state: State<Arc<Api>>,
    caller: Extension<Caller>,
    code: Named,
    raw: RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let drawn = drawn(state, caller, code, raw).await?;
    Ok(image("image/png", drawn.png()?, &headers))
}

async fn drawn(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Named(code): Named,
    RawQuery(raw): RawQuery,
) -> Result<Drawn, ApiError> {
    let drawing = read(raw.as_deref().unwrap_or_default())?;
    let link = api.link(&code).await?;
    caller.may_see(&link, &api.state.words)?;
    Ok(Drawn::new(&short_url(&api.state, &link), drawing)?)
}

impl From<QrError> for ApiError {
    fn from(error: QrError) -> Self {
        match error {
            QrError::Unfit(fault) => ApiError::Invalid(vec![fault]),
            QrError::Png(_) => ApiError::Internal(error.to_string()),
        }
    }
}

fn read(raw: &str) -> Result<Drawing, Vec<FieldFault>> {
    let mut drawing = Drawing::default();
    let within = |value: &str, range: std::ops::RangeInclusive<usize>, unit: &str| {
        let number = value.parse::<usize>().ok().filter(|number| range.contains(number));
        number.ok_or_else(|| format!("must be a whole number of {unit} from {} to {}", range.start(), range.end()))
    };
    let walked = query::walk(raw, LONGEST, |name, value, fault| match name {
        "size" => match within(value, SIZES, "pixels") {
            Ok(size) => drawing.size = size,
            Err(problem) => fault("out_of_range", problem),
        },
        "margin" => match within(value, MARGINS, "modules") {
            Ok(margin) => drawing.margin = margin,
            Err(problem) => fault("out_of_range", problem),
        },
        "level" => match Level::parse(value) {
            Some(level) => drawing.level = level,
            None => fault("unknown_name", format!("is not known: use one of {}", Level::names().join(", "))),
        },
        _ => fault("unknown_field", format!("not known: use {}", PARAMETERS.join(", "))),
    });
    if walked.faults.is_empty() { Ok(drawing) } else { Err(walked.faults) }
}

fn image(kind: &'static str, bytes: Vec<u8>, headers: &HeaderMap) -> Response {
    let digest = ring::digest::digest(&ring::digest::SHA256, &bytes);
    let tag: String = digest.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let tag = format!("\"{tag}\"");
    let known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let mut known = known.flat_map(|value| value.split(',')).map(|one| one.trim().trim_start_matches("W/"));
    let same = known.any(|one| one == tag || one == "*");
    let mut response = if same { StatusCode::NOT_MODIFIED.into_response() } else { bytes.into_response() };
    let kept = response.headers_mut();
    kept.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    kept.insert(header::CACHE_CONTROL, KEPT);
    kept.insert(header::VARY, HeaderValue::from_static("Authorization"));
    kept.insert(header::CONTENT_SECURITY_POLICY, POLICY);
    // Hex digits in quotes: always a header value.
    if let Ok(tag) = HeaderValue::try_from(tag) {
        kept.insert(header::ETAG, tag);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_whole_or_refused_whole() {
        assert_eq!(read("").unwrap(), Drawing::default());
        let drawing = read("size=300&margin=0&level=H").unwrap();
        assert_eq!((drawing.size, drawing.margin, drawing.level), (300, 0, Level::High));
        let faults = read("size=63&size=64&margin=17&level=h&colour=red&x=00000000000000000").unwrap_err();
        let named: Vec<_> = faults.iter().map(|fault| (&*fault.field, fault.code)).collect();
        let expected = [
            ("size", "out_of_range"),
            ("size", "repeated"),
            ("margin", "out_of_range"),
            ("level", "unknown_name"),
            ("colour", "unknown_field"),
            ("x", "too_long"),
        ];
        assert_eq!(named, expected);
    }
}
