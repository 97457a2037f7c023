//! One account of ours at a network, ready to ask: its key, secret and end point.

use super::http::Endpoint;
use super::pace::Pace;
use super::request::Signer;
use super::sign::Secret;
use crate::config::alliances::{AccountSettings, Alliances, NetworkSettings};
use crate::config::tree::Fault;
use crate::outbound::Tls;

/// An account.
pub struct Account {
    /// Its name.
    pub name: Box<str>,
    /// Settings of its network.
    pub settings: NetworkSettings,
    /// Its own settings.
    pub own: AccountSettings,
    /// Makes its requests.
    pub signer: Signer,
    /// Where they go.
    pub endpoint: Endpoint,
    /// How many they are.
    pub pace: Pace,
}

/// Every account of these settings.
///
/// # Errors
/// Every secret and certificate that cannot be used.
pub fn accounts(alliances: &Alliances) -> Result<Vec<Account>, Vec<Fault>> {
    let (mut accounts, mut faults) = (Vec::new(), Vec::new());
    for settings in &alliances.networks {
        let place = format!("alliances.{}", settings.network);
        let mut fault = |line, field: &str, problem: String| {
            let field = format!("{place}.{field}");
            faults.push(Fault { file: "alliances".to_owned(), line, field, problem });
        };
        let tls = Tls::new(settings.ca_file.as_deref()).map_err(|error| fault(1, "ca_file", error.to_string())).ok();
        for own in &settings.accounts {
            let secret = Secret::read(&own.secret).map_err(|problem| fault(own.line, "secret", problem)).ok();
            let token = own.token.as_ref().map(Secret::read).transpose();
            let token = token.map_err(|problem| fault(own.line, "token", problem)).ok();
            let (Some(tls), Some(secret), Some(token)) = (&tls, secret, token) else { continue };
            accounts.push(Account {
                name: own.name.as_str().into(),
                signer: Signer {
                    network: settings.network,
                    app_key: own.app_key.clone(),
                    secret,
                    token,
                    method: settings.sign_method,
                    page_size: settings.page_size,
                },
                endpoint: Endpoint::new(settings.url.clone(), tls.clone(), settings.timeout),
                pace: Pace::new(settings.requests_per_second),
                settings: settings.clone(),
                own: own.clone(),
            });
        }
    }
    if faults.is_empty() { Ok(accounts) } else { Err(faults) }
}
