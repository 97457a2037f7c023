//! The routes of the API: one table, from which the router is built and against which `openapi.json` is tested.
//!
//! Never checks a value itself; that is the drafts' and changes' work, which the command line shares.

mod ask;
mod backtests;
pub(super) mod body;
mod calendar;
mod events;
mod hops;
mod ledger;
mod links;
mod merchant;
mod orders;
mod policies;
pub(crate) mod postbacks;
mod qr;
mod query;
mod reports;
mod shadow;
mod sheets;
mod stats;
mod webhooks;

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderValue, header};
use axum::middleware::{from_fn_with_state, map_response};
use axum::response::Response;
use axum::routing::{MethodFilter, MethodRouter, on};
use tokio::sync::Semaphore;

use super::ControlState;
use super::backtests::Backtests;
use super::console::Sessions;
use super::guard::guard;
use super::keys::Role;
use super::problem::ApiError;

/// Hop look-ups at the same time: each reads files on a blocking thread.
const LOOKUPS: usize = 4;
/// Summaries over all links at the same time.
const SUMMARIES: usize = 1;

/// The methods in use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verb {
    /// GET, and HEAD with it.
    Get,
    /// POST.
    Post,
    /// PUT.
    Put,
    /// PATCH.
    Patch,
    /// DELETE.
    Delete,
}

impl Verb {
    /// The name as `openapi.json` writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Verb::Get => "get",
            Verb::Post => "post",
            Verb::Put => "put",
            Verb::Patch => "patch",
            Verb::Delete => "delete",
        }
    }

    const fn filter(self) -> MethodFilter {
        match self {
            Verb::Get => MethodFilter::GET,
            Verb::Post => MethodFilter::POST,
            Verb::Put => MethodFilter::PUT,
            Verb::Patch => MethodFilter::PATCH,
            Verb::Delete => MethodFilter::DELETE,
        }
    }
}

/// What a route does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Action {
    CreateLink,
    ListLinks,
    GetLink,
    ChangeLink,
    DisableLink,
    QrSvg,
    QrPng,
    Decide,
    FindHop,
    ListHops,
    LinkStats,
    ShowPolicies,
    PublishPolicy,
    CheckPolicy,
    ListVersions,
    GetVersion,
    ListSwitches,
    DiffVersions,
    ListKills,
    Kill,
    LiftKill,
    ShowCalendar,
    ReportExpiring,
    ListDeliveries,
    ListPostbacks,
    ReportOrders,
    ListOrders,
    ShowOrder,
    ListQuarantine,
    ListPositions,
    RegisterPositions,
    RemovePosition,
    ListPeriods,
    ClosePeriod,
    ReportLinks,
    ReportFunnel,
    ReportSettlement,
    TellEvents,
    ListEventQuarantine,
    BeginBacktest,
    ShowBacktest,
    RemoveBacktest,
    SetShadow,
    ShowShadow,
    ClearShadow,
    OpenApi,
}

/// One route.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// The method.
    pub verb: Verb,
    /// The path, parameters in braces.
    pub path: &'static str,
    /// What it does, for people.
    pub summary: &'static str,
    /// Who may; empty: anyone, without a key.
    pub roles: &'static [Role],
    action: Action,
}

const fn route(verb: Verb, path: &'static str, action: Action, roles: &'static [Role], summary: &'static str) -> Route {
    Route { verb, path, summary, roles, action }
}

const ISSUERS: &[Role] = &[Role::Creator, Role::Ops];
const READERS: &[Role] = &[Role::Creator, Role::Platform, Role::Ops];
const OWNERS: &[Role] = &[Role::Platform, Role::Ops];
const OPS: &[Role] = &[Role::Ops];
const SELLERS: &[Role] = &[Role::Merchant, Role::Ops];
const EARNERS: &[Role] = &[Role::Creator, Role::Merchant, Role::Ops];
const TELLERS: &[Role] = &[Role::Platform, Role::Merchant, Role::Ops];

/// Every route there is.
pub const ROUTES: &[Route] = &[
    route(Verb::Post, "/v1/links", Action::CreateLink, ISSUERS, "Issue a link"),
    route(Verb::Get, "/v1/links", Action::ListLinks, READERS, "List links"),
    route(Verb::Get, "/v1/links/{code}", Action::GetLink, READERS, "Read a link with a fresh decision"),
    route(Verb::Patch, "/v1/links/{code}", Action::ChangeLink, ISSUERS, "Change a link"),
    route(Verb::Delete, "/v1/links/{code}", Action::DisableLink, ISSUERS, "Disable a link"),
    route(Verb::Get, "/v1/links/{code}/qr.svg", Action::QrSvg, READERS, "Draw a short link as a QR code, SVG"),
    route(Verb::Get, "/v1/links/{code}/qr.png", Action::QrPng, READERS, "Draw a short link as a QR code, PNG"),
    route(Verb::Get, "/v1/links/{code}/stats", Action::LinkStats, READERS, "Count a link's clicks"),
    route(Verb::Post, "/v1/decide", Action::Decide, Role::ALL, "Explain what would become of a click"),
    route(Verb::Get, "/v1/hops/{click_id}", Action::FindHop, READERS, "Read the record of a click"),
    route(Verb::Get, "/v1/hops", Action::ListHops, OPS, "List recorded clicks"),
    route(Verb::Get, "/v1/policies", Action::ShowPolicies, OWNERS, "Read the policy in force"),
    route(Verb::Put, "/v1/policies", Action::PublishPolicy, OPS, "Publish a policy, or roll back to a kept version"),
    route(Verb::Post, "/v1/policies/check", Action::CheckPolicy, OWNERS, "Say what publishing would do"),
    route(Verb::Get, "/v1/policies/versions", Action::ListVersions, OWNERS, "List policy versions"),
    route(Verb::Get, "/v1/policies/versions/{version}", Action::GetVersion, OWNERS, "Read a policy version"),
    route(Verb::Get, "/v1/policies/switches", Action::ListSwitches, OWNERS, "List which version came into force when"),
    route(Verb::Get, "/v1/policies/diff", Action::DiffVersions, OWNERS, "Say what differs between two versions"),
    route(Verb::Get, "/v1/policies/kills", Action::ListKills, OWNERS, "List kill switches"),
    route(Verb::Post, "/v1/policies/kills", Action::Kill, OPS, "Switch something off at once"),
    route(Verb::Delete, "/v1/policies/kills/{id}", Action::LiftKill, OPS, "Lift a kill switch"),
    route(Verb::Get, "/v1/policies/calendar", Action::ShowCalendar, OWNERS, "See which windows are open when"),
    route(Verb::Get, "/v1/reports/expiring", Action::ReportExpiring, READERS, "Report which links stop working when"),
    route(Verb::Get, "/v1/reports/links", Action::ReportLinks, READERS, "Report clicks"),
    route(Verb::Get, "/v1/reports/funnel", Action::ReportFunnel, Role::ALL, "Report from the note to the order"),
    route(
        Verb::Get,
        "/v1/reports/settlement",
        Action::ReportSettlement,
        Role::ALL,
        "Report what orders are worth to whom",
    ),
    route(Verb::Post, "/v1/events", Action::TellEvents, TELLERS, "Tell front and back events"),
    route(Verb::Get, "/v1/events/quarantine", Action::ListEventQuarantine, OPS, "List event rows that were set aside"),
    route(Verb::Get, "/v1/webhooks/deliveries", Action::ListDeliveries, &[Role::Ops], "List what was told to webhooks"),
    route(Verb::Get, "/v1/ledger/periods", Action::ListPeriods, OPS, "List periods of the ledger with their balances"),
    route(Verb::Post, "/v1/ledger/periods/{month}/close", Action::ClosePeriod, OPS, "Close a month for good"),
    route(Verb::Post, "/v1/orders", Action::ReportOrders, SELLERS, "Report order lines"),
    route(Verb::Get, "/v1/orders", Action::ListOrders, SELLERS, "List order lines as they stand"),
    route(Verb::Get, "/v1/orders/quarantine", Action::ListQuarantine, OPS, "List order rows that were set aside"),
    route(Verb::Get, "/v1/orders/positions", Action::ListPositions, OPS, "List positions and whose they are"),
    route(Verb::Post, "/v1/orders/positions", Action::RegisterPositions, OPS, "Say whose positions are"),
    route(
        Verb::Delete,
        "/v1/orders/positions/{network}/{position}",
        Action::RemovePosition,
        OPS,
        "Take a position back",
    ),
    route(Verb::Get, "/v1/orders/{network}/{line}", Action::ShowOrder, EARNERS, "Read a line with all its reports"),
    route(Verb::Get, "/v1/postbacks", Action::ListPostbacks, OPS, "List which platform was told of which order"),
    route(Verb::Post, "/v1/policies/backtest", Action::BeginBacktest, OWNERS, "Decide recorded hops under a candidate"),
    route(Verb::Get, "/v1/policies/backtests/{id}", Action::ShowBacktest, OWNERS, "Read a backtest"),
    route(Verb::Delete, "/v1/policies/backtests/{id}", Action::RemoveBacktest, OWNERS, "End or forget a backtest"),
    route(Verb::Post, "/v1/policies/shadow", Action::SetShadow, &[Role::Ops], "Put a candidate beside the live policy"),
    route(Verb::Get, "/v1/policies/shadow", Action::ShowShadow, &[Role::Ops], "Read what the candidate would decide"),
    route(Verb::Delete, "/v1/policies/shadow", Action::ClearShadow, &[Role::Ops], "Take the candidate away"),
    route(Verb::Get, "/openapi.json", Action::OpenApi, &[], "This description"),
];

/// What handlers share.
pub(super) struct Api {
    pub(super) state: ControlState,
    pub(super) sessions: Arc<Sessions>,
    backtests: Backtests,
    lookups: Arc<Semaphore>,
    summaries: Arc<Semaphore>,
}

/// The routes of the control listener.
pub(super) fn router(state: ControlState, sessions: Arc<Sessions>) -> Router {
    let store = Arc::clone(&state.policy_store);
    let backtests = Backtests::new(state.hops.clone(), state.click_key.clone(), state.clock.clone(), store);
    let api = Arc::new(Api {
        state,
        sessions,
        backtests,
        lookups: Arc::new(Semaphore::new(LOOKUPS)),
        summaries: Arc::new(Semaphore::new(SUMMARIES)),
    });
    let mut router = Router::new();
    for route in ROUTES.iter().copied() {
        let mut methods = handler(route);
        if !route.roles.is_empty() {
            methods = methods.route_layer(from_fn_with_state((Arc::clone(&api), route.roles), guard));
        }
        router = router.route(route.path, methods);
    }
    router
        .fallback(|| async { ApiError::NoSuchRoute })
        .method_not_allowed_fallback(|| async { ApiError::WrongMethod })
        .layer(map_response(never_stored))
        .with_state(api)
}

fn handler(route: Route) -> MethodRouter<Arc<Api>> {
    let filter = route.verb.filter();
    match route.action {
        Action::CreateLink => on(filter, links::create),
        Action::ListLinks => on(filter, links::list),
        Action::GetLink => on(filter, links::get),
        Action::ChangeLink => on(filter, links::change),
        Action::DisableLink => on(filter, links::disable),
        Action::QrSvg => on(filter, qr::svg),
        Action::QrPng => on(filter, qr::png),
        Action::Decide => on(filter, ask::decide),
        Action::FindHop => on(filter, ask::hop),
        Action::ListHops => on(filter, hops::list),
        Action::LinkStats => on(filter, stats::of_link),
        Action::ShowPolicies => on(filter, policies::show),
        Action::PublishPolicy => on(filter, policies::publish),
        Action::CheckPolicy => on(filter, policies::check),
        Action::ListVersions => on(filter, policies::versions),
        Action::GetVersion => on(filter, policies::version),
        Action::ListSwitches => on(filter, policies::switches),
        Action::DiffVersions => on(filter, policies::diff),
        Action::ListKills => on(filter, policies::kills),
        Action::Kill => on(filter, policies::kill),
        Action::LiftKill => on(filter, policies::lift),
        Action::ShowCalendar => on(filter, calendar::calendar),
        Action::ReportExpiring => on(filter, reports::expiring),
        Action::ListDeliveries => on(filter, webhooks::deliveries),
        Action::ListPostbacks => on(filter, postbacks::postbacks),
        Action::ListPeriods => on(filter, ledger::periods),
        Action::ClosePeriod => on(filter, ledger::close),
        Action::ReportOrders => on(filter, orders::report),
        Action::ListOrders => on(filter, orders::list),
        Action::ShowOrder => on(filter, orders::show),
        Action::ListQuarantine => on(filter, orders::quarantine),
        Action::ListPositions => on(filter, orders::positions),
        Action::RegisterPositions => on(filter, orders::register),
        Action::RemovePosition => on(filter, orders::unregister),
        Action::ReportLinks => on(filter, sheets::links),
        Action::ReportFunnel => on(filter, sheets::funnel),
        Action::ReportSettlement => on(filter, sheets::settlement),
        Action::TellEvents => on(filter, events::tell),
        Action::ListEventQuarantine => on(filter, events::quarantine),
        Action::BeginBacktest => on(filter, backtests::begin),
        Action::ShowBacktest => on(filter, backtests::show),
        Action::RemoveBacktest => on(filter, backtests::remove),
        Action::SetShadow => on(filter, shadow::set),
        Action::ShowShadow => on(filter, shadow::show),
        Action::ClearShadow => on(filter, shadow::clear),
        Action::OpenApi => on(filter, ask::openapi),
    }
}

async fn never_stored(mut response: Response) -> Response {
    let headers = response.headers_mut();
    // Only what says otherwise itself is kept by anyone.
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::Value;

    use super::*;

    #[test]
    fn the_description_has_the_routes_of_the_table_and_no_others() {
        let described: Value = serde_json::from_str(ask::DESCRIPTION).unwrap();
        let mut found = BTreeMap::new();
        for (path, methods) in described["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap().iter().filter(|(key, _)| *key != "parameters") {
                let open = operation["security"].as_array().is_some_and(Vec::is_empty);
                let summary = operation["summary"].as_str().unwrap_or_default();
                found.insert((path.as_str(), method.as_str()), (summary, open));
            }
        }
        let table = ROUTES
            .iter()
            .map(|route| ((route.path, route.verb.name()), (route.summary, route.roles.is_empty())))
            .collect::<BTreeMap<_, _>>();
        assert_eq!(found, table);
    }

    #[test]
    fn the_description_names_every_field_a_body_may_hold() {
        let described: Value = serde_json::from_str(ask::DESCRIPTION).unwrap();
        for (schema, fields) in [
            ("LinkDraft", &crate::control::draft::FIELDS[..]),
            ("LinkChange", &crate::control::change::FIELDS),
            ("DecideRequest", &crate::control::decision::FIELDS),
            ("PolicyDraft", &crate::control::policy::FIELDS),
            ("KillDraft", &crate::control::kill::FIELDS),
            ("BacktestRequest", &super::backtests::FIELDS),
            ("ShadowRequest", &super::shadow::FIELDS),
            ("OrderRow", &crate::attribution::orders::import::direct::FIELDS),
            ("PositionDraft", &crate::control::orders::POSITION_FIELDS),
            ("EventRow", &crate::attribution::events::read::FIELDS),
            ("Hop", &crate::journal::export::FIELDS),
        ] {
            let mut named: Vec<&str> = described["components"]["schemas"][schema]["properties"]
                .as_object()
                .unwrap_or_else(|| panic!("{schema} has properties"))
                .keys()
                .map(String::as_str)
                .collect();
            let mut fields = fields.to_vec();
            named.sort_unstable();
            fields.sort_unstable();
            assert_eq!(named, fields, "{schema}");
        }
    }
}
