//! How the API refuses: one enum, and the one place where it becomes HTTP (RFC 9457 `application/problem+json`).
//!
//! Titles are Chinese first, then English; the detail names the mend. Never shows what a database or disk said: that is
//! logged for operators.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::codes::NoRandomness;
use super::fields::FieldFault;
use super::keys::KeyError;
use super::policy::pointer;
use crate::attribution::StoreError as AttributionError;
use crate::attribution::ledger::close::NotClosed;
use crate::catalog::store::StoreError;
use crate::domain::code::Code;
use crate::journal::read::ReadError;
use crate::notify::outbox::OutboxError;
use crate::policies::publish::PublishError;
use crate::policies::store::StoreError as PolicyStoreError;
use crate::report::asked::ReportError;

/// The most bytes of a request's body.
pub const MOST_BODY: usize = 4 << 20;

/// Why a request is refused.
#[derive(Debug)]
pub enum ApiError {
    /// No `Authorization: Bearer`.
    NoKey,
    /// A key that opens nothing, or no longer.
    BadKey,
    /// A good key that may not do this; the text says which may.
    Forbidden(String),
    /// No such path.
    NoSuchRoute,
    /// Another method is used on this path; the router adds `Allow`.
    WrongMethod,
    /// No JSON: where and what.
    BadJson {
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
        /// What the parser says.
        what: String,
    },
    /// Over [`MOST_BODY`].
    BodyTooLarge,
    /// It did not arrive in time.
    BodyTooSlow,
    /// It broke off.
    BodyBroken,
    /// Every fault of the request.
    Invalid(Vec<FieldFault>),
    /// Another link has this slug.
    SlugTaken(Code),
    /// The link was changed since the caller read it; the revision it has now.
    Stale(i64),
    /// No link has this code.
    UnknownLink,
    /// A click id that was not issued here.
    ForeignClick,
    /// A click id of ours that is not in the log.
    UnknownHop,
    /// As many look-ups as may be are under way.
    Busy,
    /// A backtest is running already; its id.
    BacktestRunning(String),
    /// No backtest has this id, or it is not the caller's.
    UnknownBacktest,
    /// No candidate is set.
    NoShadow,
    /// The policy store.
    Policies(PolicyStoreError),
    /// Eight drawn codes were all taken.
    NoFreeCode,
    /// No random bytes.
    NoRandomness(NoRandomness),
    /// Every fault of a policy, told by JSON pointers.
    BadPolicy(Vec<FieldFault>),
    /// A publish that does not say what it replaces.
    NoIfMatch,
    /// Publishing.
    Publish(PublishError),
    /// The link store.
    Links(StoreError),
    /// The key store.
    Keys(KeyError),
    /// The webhooks' outbox.
    Outbox(OutboxError),
    /// The store of attribution.
    Attribution(AttributionError),
    /// No order line has this key, or it is not the caller's.
    UnknownOrder,
    /// Nothing is registered of this position.
    UnknownPosition,
    /// A report.
    Report(ReportError),
    /// A period of the ledger that is not closed.
    NotClosed(NotClosed),
    /// The journal.
    Journal(ReadError),
    /// A fault of this program.
    Internal(String),
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        ApiError::Links(error)
    }
}

impl From<KeyError> for ApiError {
    fn from(error: KeyError) -> Self {
        ApiError::Keys(error)
    }
}

impl From<OutboxError> for ApiError {
    fn from(error: OutboxError) -> Self {
        ApiError::Outbox(error)
    }
}

impl From<AttributionError> for ApiError {
    fn from(error: AttributionError) -> Self {
        ApiError::Attribution(error)
    }
}

impl From<NotClosed> for ApiError {
    fn from(error: NotClosed) -> Self {
        match error {
            NotClosed::Store(error) => ApiError::Attribution(error),
            other => ApiError::NotClosed(other),
        }
    }
}

impl From<ReportError> for ApiError {
    fn from(error: ReportError) -> Self {
        match error {
            ReportError::Store(error) => ApiError::Attribution(error),
            other => ApiError::Report(other),
        }
    }
}

impl From<NoRandomness> for ApiError {
    fn from(error: NoRandomness) -> Self {
        ApiError::NoRandomness(error)
    }
}

impl From<ReadError> for ApiError {
    fn from(error: ReadError) -> Self {
        ApiError::Journal(error)
    }
}

impl From<PublishError> for ApiError {
    fn from(error: PublishError) -> Self {
        ApiError::Publish(error)
    }
}

impl From<PolicyStoreError> for ApiError {
    fn from(error: PolicyStoreError) -> Self {
        ApiError::Publish(error.into())
    }
}

impl From<Vec<FieldFault>> for ApiError {
    fn from(faults: Vec<FieldFault>) -> Self {
        ApiError::Invalid(faults)
    }
}

/// What a refusal says: its name in `type`, its status, its title in both languages, and its detail.
struct Words(&'static str, StatusCode, &'static str, String);

impl ApiError {
    fn words(&self) -> Words {
        use StatusCode as S;
        let plain = |name, status, title, detail: &str| Words(name, status, title, detail.to_owned());
        match self {
            ApiError::NoKey => plain(
                "no_key",
                S::UNAUTHORIZED,
                "需要密钥 / Key required",
                "send the header `Authorization: Bearer hk_…`; `hopgate key create` makes a key",
            ),
            ApiError::BadKey => plain(
                "bad_key",
                S::UNAUTHORIZED,
                "密钥无效 / Key not valid",
                "this key is not known or was revoked: ask ops for another",
            ),
            ApiError::Forbidden(detail) => plain("forbidden", S::FORBIDDEN, "没有权限 / Not allowed", detail),
            ApiError::NoSuchRoute => plain(
                "no_such_route",
                S::NOT_FOUND,
                "没有这个接口 / No such path",
                "nothing answers here: /openapi.json lists every path",
            ),
            ApiError::WrongMethod => plain(
                "wrong_method",
                S::METHOD_NOT_ALLOWED,
                "请求方法不支持 / Method not allowed",
                "use one of the methods in the Allow header",
            ),
            ApiError::BadJson { line, column, what } => Words(
                "bad_json",
                S::BAD_REQUEST,
                "JSON 格式错误 / Not JSON",
                format!("line {line}, column {column}: {what}"),
            ),
            ApiError::BodyTooLarge => Words(
                "body_too_large",
                S::PAYLOAD_TOO_LARGE,
                "请求体过大 / Body too large",
                format!("send at most {MOST_BODY} bytes"),
            ),
            ApiError::BodyTooSlow => plain(
                "body_too_slow",
                S::REQUEST_TIMEOUT,
                "请求体接收超时 / Body too slow",
                "the body did not arrive within 10 seconds: send it again",
            ),
            ApiError::BodyBroken => plain(
                "body_broken",
                S::BAD_REQUEST,
                "请求体不完整 / Body incomplete",
                "the body broke off: send it again",
            ),
            ApiError::Invalid(faults) => invalid(faults),
            ApiError::SlugTaken(code) => Words(
                "slug_taken",
                S::CONFLICT,
                "短码已被占用 / Slug taken",
                format!("`{code}` belongs to another link: choose another slug, or leave it out to have one drawn"),
            ),
            ApiError::Stale(current) => Words(
                "stale",
                S::PRECONDITION_FAILED,
                "链接已被修改 / Link was changed",
                format!("the link has revision {current} now: read it again, then send the change with that revision"),
            ),
            ApiError::UnknownLink => {
                plain("unknown_link", S::NOT_FOUND, "链接不存在 / No such link", "no link has this code: check it")
            }
            ApiError::ForeignClick => plain(
                "foreign_click_id",
                S::NOT_FOUND,
                "点击编号不是本网关签发 / Click id not issued here",
                "this click id was not issued here, or was altered: check it",
            ),
            ApiError::UnknownHop => plain(
                "unknown_hop",
                S::NOT_FOUND,
                "没有该点击记录 / No such hop",
                "this click id is sound, but its hop is not in this node's journal: ask the node that issued it",
            ),
            ApiError::Busy => plain(
                "busy",
                S::SERVICE_UNAVAILABLE,
                "查询繁忙 / Busy",
                "as many look-ups as may be are under way: try again in a second",
            ),
            ApiError::BacktestRunning(id) => Words(
                "backtest_running",
                S::CONFLICT,
                "已有回测在运行 / A backtest is running",
                format!("one runs at a time: wait for `{id}`, or end it with DELETE /v1/policies/backtests/{id}"),
            ),
            ApiError::UnknownBacktest => plain(
                "unknown_backtest",
                S::NOT_FOUND,
                "没有该回测 / No such backtest",
                "no backtest of yours has this id: results are kept in memory, the last few of them, until a restart",
            ),
            ApiError::NoShadow => plain(
                "no_shadow",
                S::NOT_FOUND,
                "没有候选政策 / No candidate set",
                "no candidate is evaluated beside the live policy: set one with POST /v1/policies/shadow",
            ),
            ApiError::NoFreeCode => plain(
                "no_free_code",
                S::INTERNAL_SERVER_ERROR,
                "无法生成短码 / No free code",
                "eight drawn codes were taken: the machine's random source is broken; a chosen slug still works",
            ),
            ApiError::NoRandomness(_) => plain(
                "no_randomness",
                S::SERVICE_UNAVAILABLE,
                "随机数不可用 / No randomness",
                "the machine gave no random bytes: try again in a second",
            ),
            ApiError::BadPolicy(faults) => bad_policy(faults),
            ApiError::NoIfMatch => plain(
                "if_match_required",
                S::PRECONDITION_REQUIRED,
                "需要 If-Match / If-Match required",
                "say which version this replaces: send the header `If-Match` with the ETag of GET /v1/policies, or * for \
                 whatever is in force",
            ),
            ApiError::Publish(PublishError::Store(PolicyStoreError::Unavailable(_))) => store_unavailable(),
            ApiError::Publish(error) => unpublished(error),
            ApiError::Links(StoreError::Unreadable { code, .. }) => Words(
                "unreadable_link",
                S::INTERNAL_SERVER_ERROR,
                "链接数据异常 / Link not readable",
                format!("the stored link `{code}` cannot be used: ask ops, the log says why"),
            ),
            ApiError::UnknownOrder => plain(
                "unknown_order",
                S::NOT_FOUND,
                "没有该订单行 / No such order line",
                "no line of this network and account has this key: GET /v1/orders lists them",
            ),
            ApiError::UnknownPosition => plain(
                "unknown_position",
                S::NOT_FOUND,
                "没有登记该推广位 / Position not registered",
                "nothing is registered of this position; what a link tells ends with its creator or address",
            ),
            ApiError::Attribution(AttributionError::Unreadable(_)) => plain(
                "unreadable_attribution",
                S::INTERNAL_SERVER_ERROR,
                "归因数据异常 / Attribution not readable",
                "what is stored cannot be read by this version: ask ops, the log says why",
            ),
            ApiError::NotClosed(error @ NotClosed::Restless) => {
                Words("restless", S::SERVICE_UNAVAILABLE, "订单仍在入账 / Orders keep coming in", error.to_string())
            }
            ApiError::NotClosed(error) => {
                Words("not_closed", S::CONFLICT, "账期未关闭 / Period not closed", error.to_string())
            }
            ApiError::Report(ReportError::Rules(what)) => {
                Words("bad_rules", S::UNPROCESSABLE_ENTITY, "规则有误 / Rules not usable", what.clone())
            }
            ApiError::Report(_) => plain(
                "policies_unreadable",
                S::INTERNAL_SERVER_ERROR,
                "政策无法读取 / Policies not readable",
                "a policy version this report needs cannot be read: ask ops, the log says which",
            ),
            ApiError::Links(_)
            | ApiError::Keys(_)
            | ApiError::Outbox(_)
            | ApiError::Attribution(_)
            | ApiError::Policies(_) => store_unavailable(),
            ApiError::Journal(_) => plain(
                "journal_unreadable",
                S::INTERNAL_SERVER_ERROR,
                "点击日志无法读取 / Journal not readable",
                "the hop log could not be read: ask ops, the log says why",
            ),
            ApiError::Internal(_) => plain(
                "internal",
                S::INTERNAL_SERVER_ERROR,
                "内部错误 / Internal error",
                "this is a fault of hopgate: the log says more",
            ),
        }
    }

    /// The same for a page: its status, its title in both languages, and its detail. Logs what operators need to know.
    pub(super) fn told(&self) -> (StatusCode, &'static str, String) {
        self.log();
        let Words(_, status, title, detail) = self.words();
        (status, title, detail)
    }

    /// What operators need to know and callers must not.
    fn log(&self) {
        match self {
            ApiError::Links(error) => tracing::error!(%error, "control API: links"),
            ApiError::Policies(error) => tracing::error!(%error, "control API: policies"),
            ApiError::Keys(error) => tracing::error!(%error, "control API: keys"),
            ApiError::Attribution(error) => tracing::error!(%error, "control API: attribution"),
            ApiError::Publish(
                PublishError::Store(PolicyStoreError::Unavailable(what)) | PublishError::Broken(what),
            ) => {
                tracing::error!(%what, "control API: policies");
            }
            ApiError::Report(error) => tracing::warn!(%error, "control API: a report"),
            ApiError::Outbox(error) => tracing::error!(%error, "control API: webhooks"),
            ApiError::Journal(error) => tracing::error!(%error, "control API: hop look-up"),
            ApiError::NoRandomness(error) => tracing::error!(%error, "control API"),
            ApiError::Internal(what) => tracing::error!(%what, "control API: a fault of this program"),
            _ => {}
        }
    }
}

fn invalid(faults: &[FieldFault]) -> Words {
    let detail = match faults {
        [one] if one.field.is_empty() => one.problem.clone(),
        [one] => format!("{one}"),
        many => format!("{} fields need mending: see errors", many.len()),
    };
    let (name, title) = match faults {
        [one] if one.code == "unidentifiable_code" => {
            ("unidentifiable_code", "口令无法识别商品 / Code not identifiable")
        }
        [one] if one.field == "url" => ("bad_url", "链接地址不可用 / URL not usable"),
        _ => ("invalid", "请求内容有误 / Request not valid"),
    };
    Words(name, StatusCode::UNPROCESSABLE_ENTITY, title, detail)
}

fn store_unavailable() -> Words {
    Words(
        "store_unavailable",
        StatusCode::SERVICE_UNAVAILABLE,
        "存储暂不可用 / Store not available",
        "the database does not answer; clicks go on. Try again in a second. If this was a change, read first: it may \
         have been stored"
            .to_owned(),
    )
}

fn bad_policy(faults: &[FieldFault]) -> Words {
    let detail = match faults {
        [one] => one.to_string(),
        many => format!("{} faults: see errors", many.len()),
    };
    Words("bad_policy", StatusCode::UNPROCESSABLE_ENTITY, "政策内容有误 / Policy not valid", detail)
}

fn unpublished(error: &PublishError) -> Words {
    use PolicyStoreError as Kept;
    use StatusCode as S;
    let (name, status, title) = match error {
        PublishError::Stale { .. } => ("stale_policy", S::PRECONDITION_FAILED, "政策已被更新 / Policy was changed"),
        PublishError::Findings(_) => {
            ("lint_errors", S::UNPROCESSABLE_ENTITY, "政策存在问题 / Policy reads like a mistake")
        }
        PublishError::NotBacktested(_) => ("not_backtested", S::CONFLICT, "需要先回测 / Backtest required"),
        PublishError::StrangeKill(_) => {
            ("strange_kill", S::UNPROCESSABLE_ENTITY, "开关不能随政策写入 / Kills are not made by a policy")
        }
        PublishError::Rehearsal => ("rehearsal", S::CONFLICT, "彩排中不能发布 / A rehearsal does not publish"),
        PublishError::FolderDecides => ("folder_decides", S::CONFLICT, "政策由目录管理 / The folder decides"),
        PublishError::NothingInForce => ("nothing_in_force", S::CONFLICT, "尚无生效政策 / No policy in force"),
        PublishError::UnknownKill(_) => ("unknown_kill", S::NOT_FOUND, "没有这个开关 / No such kill"),
        PublishError::TooManyKills => ("too_many_kills", S::CONFLICT, "开关过多 / Too many kills"),
        PublishError::Unreadable { .. } => ("unreadable_version", S::CONFLICT, "版本无法读取 / Version not readable"),
        PublishError::Busy => ("publishing_busy", S::SERVICE_UNAVAILABLE, "发布繁忙 / Publishing is busy"),
        PublishError::Store(Kept::NotAVersion(_) | Kept::Ambiguous(_)) => {
            ("not_a_version", S::UNPROCESSABLE_ENTITY, "版本号有误 / Not a version")
        }
        PublishError::Store(Kept::Unknown(_)) => ("unknown_version", S::NOT_FOUND, "没有这个版本 / No such version"),
        PublishError::Store(Kept::ShortTaken(_)) => ("version_taken", S::CONFLICT, "版本号冲突 / Version name taken"),
        PublishError::Broken(_) | PublishError::Store(Kept::Unavailable(_)) => {
            ("internal", S::INTERNAL_SERVER_ERROR, "内部错误 / Internal error")
        }
    };
    Words(name, status, title, error.to_string())
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        self.log();
        let Words(name, status, title, detail) = self.words();
        let mut body = json!({
            "type": format!("urn:hopgate:problem:{name}"),
            "title": title,
            "status": status.as_u16(),
            "detail": detail,
        });
        match &self {
            ApiError::Invalid(faults) => body["errors"] = json!(faults),
            ApiError::Stale(current) => body["current"] = json!(current),
            ApiError::BadPolicy(faults) => {
                let told = faults.iter().map(|fault| {
                    let mut told = json!(fault);
                    told["pointer"] = json!(pointer(&fault.field));
                    told
                });
                body["errors"] = told.collect();
            }
            ApiError::Publish(PublishError::Stale { current }) => {
                body["current_version"] = json!(current.as_ref().map(|switch| &switch.version));
                body["switch"] = json!(current);
            }
            ApiError::Publish(PublishError::Findings(findings)) => body["findings"] = json!(findings),
            ApiError::Publish(PublishError::NotBacktested(version)) => body["version"] = json!(version),
            ApiError::BadJson { line, column, .. } => {
                body["line"] = json!(line);
                body["column"] = json!(column);
            }
            _ => {}
        }
        let mut response = (status, body.to_string()).into_response();
        let headers = response.headers_mut();
        let mut set = |name, value| drop(headers.insert(name, HeaderValue::from_static(value)));
        set(header::CONTENT_TYPE, "application/problem+json");
        set(header::CACHE_CONTROL, "no-store");
        if status == StatusCode::UNAUTHORIZED {
            set(header::WWW_AUTHENTICATE, "Bearer");
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            set(header::RETRY_AFTER, "1");
        }
        let current = match &self {
            ApiError::Stale(revision) => Some(revision.to_string()),
            ApiError::Publish(PublishError::Stale { current: Some(switch) }) => Some(switch.version.clone()),
            _ => None,
        };
        if let Some(current) = current
            && let Ok(tag) = HeaderValue::try_from(format!("\"{current}\""))
        {
            headers.insert(header::ETAG, tag);
        }
        response
    }
}
