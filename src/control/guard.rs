//! Who is asking, and what that role may do. A key is looked up at every request, so that revoking one counts at once.
//! Never keeps a key's text beyond the look-up.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::Response;
use serde_json::Value;

use super::api::Api;
use super::console::{SESSION, cookie};
use super::decision::Case;
use super::keys::{KeyError, KeyHash, KeyStore, KeyText, Role};
use super::problem::ApiError;
use crate::attribution::events::read::Reader;
use crate::catalog::store::LinkQuery;
use crate::domain::click_id::ClickKey;
use crate::domain::link::Link;
use crate::domain::time::Timestamp;
use crate::domain::vocabulary::{PlatformId, Vocabulary};
use crate::report::asked::{By, Question};

/// Whoever a valid key speaks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Caller {
    /// In which role.
    pub role: Role,
    /// The creator, platform or shop; none: every one of that sort.
    pub scope: Option<String>,
    /// The key, by name and id: who did it.
    pub by: String,
}

/// Lets a request through to a route of these roles, with its [`Caller`] put beside it.
pub(super) async fn guard(
    State((api, roles)): State<(Arc<Api>, &'static [Role])>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let caller = match of_session(&api, &request) {
        Some(key) => Caller::of_key(&*api.state.keys, key).await?,
        None => caller(&api, request.headers()).await?,
    };
    if !roles.contains(&caller.role) {
        let allowed = roles.iter().map(|role| role.as_str()).collect::<Vec<_>>().join(", ");
        return Err(ApiError::Forbidden(format!("a {} key may not do this: use a key of {allowed}", caller.role)));
    }
    api.state.sightings.note(&caller, &request);
    request.extensions_mut().insert(caller);
    Ok(next.run(request).await)
}

/// Whoever is logged in at the page of creators may look at reports with it: reading only, where the page leads to. Its
/// cookie is sent from pages of this site alone.
fn of_session(api: &Api, request: &Request) -> Option<KeyHash> {
    let (headers, path) = (request.headers(), request.uri().path());
    let looks = matches!(*request.method(), Method::GET | Method::HEAD)
        && (path.starts_with("/v1/reports/") || path.starts_with("/v1/hops/"));
    if !looks || headers.contains_key(header::AUTHORIZATION) {
        return None;
    }
    Some(api.sessions.find(cookie(headers, SESSION)?, api.state.clock.now())?.key)
}

async fn caller(api: &Api, headers: &HeaderMap) -> Result<Caller, ApiError> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let (value, None) = (given.next().ok_or(ApiError::NoKey)?, given.next()) else { return Err(ApiError::BadKey) };
    let (scheme, text) = value.to_str().ok().and_then(|value| value.split_once(' ')).ok_or(ApiError::BadKey)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(ApiError::NoKey);
    }
    let key = KeyText::parse(text.trim()).ok_or(ApiError::BadKey)?;
    Caller::of_key(&*api.state.keys, key.hash()).await
}

impl Caller {
    /// Whoever the key of this hash speaks for, now.
    pub(super) async fn of_key(keys: &dyn KeyStore, hash: KeyHash) -> Result<Caller, ApiError> {
        match keys.find(hash).await {
            Ok(Some(record)) if record.revoked_at.is_none() => {
                let by = format!("{} ({})", record.name, record.id);
                Ok(Caller { role: record.role, scope: record.scope, by })
            }
            Ok(_) => Err(ApiError::BadKey),
            Err(error @ KeyError::Unreadable { .. }) => {
                tracing::error!(%error, "control API: keys");
                Err(ApiError::BadKey)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn bound_to(&self, role: Role) -> Option<&str> {
        if self.role == role { self.scope.as_deref() } else { None }
    }

    /// The platform this caller alone speaks for. A scope this process does not know fits nothing.
    fn own_platform(&self, words: &Vocabulary) -> Option<Option<PlatformId>> {
        self.bound_to(Role::Platform).map(|scope| words.platform(scope))
    }

    /// The creator a new link gets: the caller's own where it speaks for one.
    pub(super) fn creator_of_new(&self, asked: Option<String>) -> Result<Option<String>, ApiError> {
        match (self.bound_to(Role::Creator), asked) {
            (None, asked) => Ok(asked),
            (Some(own), None) => Ok(Some(own.to_owned())),
            (Some(own), Some(asked)) if asked == own => Ok(Some(asked)),
            (Some(own), Some(_)) => Err(not_yours(own)),
        }
    }

    /// Whether this caller may see a link (and change it, where its role may change links at all).
    pub(super) fn may_see(&self, link: &Link, words: &Vocabulary) -> Result<(), ApiError> {
        if let Some(own) = self.bound_to(Role::Creator)
            && link.creator.as_deref() != Some(own)
        {
            return Err(not_yours(own));
        }
        if let Some(own) = self.own_platform(words)
            && (own.is_none() || link.placement.platform != own)
        {
            return Err(self.other_platform());
        }
        Ok(())
    }

    /// Whether this caller may see a recorded hop, as an export writes it: a creator the clicks on its own links, a platform
    /// those made on it.
    pub(super) fn may_see_hop(&self, hop: &Value) -> bool {
        let is = |field: &str| self.scope.as_deref().is_none_or(|own| hop[field] == own);
        match self.role {
            Role::Ops => true,
            Role::Creator => is("creator"),
            Role::Platform => is("platform"),
            Role::Merchant => false,
        }
    }

    /// Narrows a list to what this caller may see; asking for someone else's is refused.
    pub(super) fn narrow(&self, query: &mut LinkQuery, words: &Vocabulary) -> Result<(), ApiError> {
        query.creator = self.creator_of_new(query.creator.take())?;
        if let Some(own) = self.own_platform(words) {
            if own.is_none() || query.platform.is_some_and(|asked| Some(asked) != own) {
                return Err(self.other_platform());
            }
            query.platform = own;
        }
        Ok(())
    }

    /// Whether this caller may ask about a case; a creator asks for itself, a platform for itself.
    pub(super) fn may_ask(&self, case: &mut Case, words: &Vocabulary) -> Result<(), ApiError> {
        let asked = case.creator.take().map(String::from);
        case.creator = self.creator_of_new(asked)?.map(Into::into);
        match self.own_platform(words) {
            Some(own) if own.is_none() || case.placement.platform != own => Err(self.other_platform()),
            _ => Ok(()),
        }
    }

    /// Narrows a report to what this caller may see; asking for someone else's is refused. What was sold in one order, and
    /// for how much, is not a platform's: it sees sums.
    pub(super) fn narrow_report(&self, question: &mut Question) -> Result<(), ApiError> {
        let by = question.by.as_deref().unwrap_or_default();
        let single = question.order.is_some() || by.split(',').any(|name| name.trim() == By::Order.as_str());
        if self.role == Role::Platform && single {
            let problem = "a platform key sees sums, not single orders: leave out `order`, and `order` of `by`";
            return Err(ApiError::Forbidden(problem.to_owned()));
        }
        for (role, place) in [
            (Role::Creator, &mut question.creator),
            (Role::Platform, &mut question.platform),
            (Role::Merchant, &mut question.shop),
        ] {
            let Some(own) = self.bound_to(role) else { continue };
            if place.as_deref().is_some_and(|asked| asked != own) {
                let problem = format!("this key speaks for the {role} `{own}` only: leave the parameter out");
                return Err(ApiError::Forbidden(problem));
            }
            *place = Some(own.to_owned());
        }
        Ok(())
    }

    /// Reads the events this caller may tell: a platform those of its own, a merchant those of its shop.
    pub(super) fn reads_events<T>(
        &self,
        words: &Vocabulary,
        key: &ClickKey,
        now: Timestamp,
        work: impl FnOnce(Reader<'_>) -> T,
    ) -> T {
        let (platform, shop) = (self.bound_to(Role::Platform), self.bound_to(Role::Merchant));
        let source = match &self.scope {
            Some(scope) => format!("{}:{scope}", self.role),
            None => self.role.to_string(),
        };
        let may_name_source = self.role == Role::Ops;
        work(Reader { words, key, now, source: &source, may_name_source, platform, shop })
    }

    /// The platform whose part of a policy this caller may see; none: all of it.
    pub(super) fn part_of_policies(&self) -> Option<&str> {
        self.bound_to(Role::Platform)
    }

    /// Whether agreements of this platform may be shown.
    pub(super) fn may_read_agreements(&self, platform: PlatformId, words: &Vocabulary) -> bool {
        self.own_platform(words).is_none_or(|own| own == Some(platform))
    }

    fn other_platform(&self) -> ApiError {
        let own = self.scope.as_deref().unwrap_or_default();
        ApiError::Forbidden(format!("this key speaks for the platform `{own}` only: use a key of the other platform"))
    }
}

fn not_yours(own: &str) -> ApiError {
    ApiError::Forbidden(format!("this key speaks for the creator `{own}` only: use a key of the other creator"))
}
