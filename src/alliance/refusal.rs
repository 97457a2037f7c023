//! Why a network did not answer with rows, by its own codes, and what to do about it. The codes are those of the networks'
//! published lists of errors; of texts only those words are looked for that several answers share.

use crate::domain::attribution::Network;
use crate::domain::vocabulary::closed_list;

closed_list! {
    /// What kind of refusal it is.
    Cause {
        /// Too many calls; passes by itself.
        Limited = "limited",
        /// The network's own trouble; passes by itself.
        Busy = "busy",
        /// The stretch of time asked for is too long.
        TooLong = "window_too_long",
        /// The request's time is too far from the network's.
        Clock = "clock",
        /// The signature, key or session is not believed.
        Credentials = "credentials",
        /// The account may not ask this.
        Permission = "permission",
        /// Anything else it objects to.
        Other = "refused",
    }
}

impl Cause {
    /// Whether somebody must do something: asking again alone does not help.
    pub fn lasts(self) -> bool {
        matches!(self, Cause::Clock | Cause::Credentials | Cause::Permission | Cause::Other)
    }

    fn mend(self) -> &'static str {
        match self {
            Cause::Limited => "it is asked again after a pause; a lower `requests_per_second` avoids this",
            Cause::Busy => "it is asked again",
            Cause::TooLong => "a shorter stretch is asked for; a shorter `window` avoids this",
            Cause::Clock => "set this machine's clock right (NTP); the network allows some minutes",
            Cause::Credentials => "check app_key, secret, session or access token, and sign_method",
            Cause::Permission => "ask the network for permission to use this API with this app_key",
            Cause::Other => "see the network's list of errors",
        }
    }
}

/// An error object of a network.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    network: Network,
    /// Its code.
    pub code: String,
    /// Its finer code, Taobao's `sub_code`.
    pub sub_code: String,
    /// What it says.
    pub message: String,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} answers code {}", self.network, self.code)?;
        if !self.sub_code.is_empty() {
            write!(f, " ({})", self.sub_code)?;
        }
        if !self.message.is_empty() {
            write!(f, ": {}", self.message)?;
        }
        write!(f, "; {}", self.cause().mend())
    }
}

impl std::error::Error for Refusal {}

impl Refusal {
    /// What a network said.
    pub fn new(network: Network, code: String, sub_code: String, message: &str) -> Self {
        // As much as a person reads.
        let message = message.chars().filter(|c| !c.is_control()).take(200).collect();
        Refusal { network, code, sub_code, message }
    }

    /// What kind it is.
    pub fn cause(&self) -> Cause {
        let says = |words: &[&str]| words.iter().any(|word| self.message.contains(word));
        let too_long = &["时间跨度", "时间间隔", "时间范围", "time span", "time range"];
        // JD's gateway has short codes, what stands behind it those of HTTP.
        match (self.network, self.code.as_str()) {
            (Network::Taobao, "4" | "5" | "6" | "7" | "8") => Cause::Limited,
            (Network::Taobao, "10") => Cause::Busy,
            (Network::Taobao, "11" | "12" | "13") => Cause::Permission,
            (Network::Taobao, "24" | "25" | "26" | "27" | "28" | "29") => Cause::Credentials,
            (Network::Taobao, "30" | "31") => Cause::Clock,
            (Network::Jd, "2") => Cause::Limited,
            (Network::Jd, "7" | "8") => Cause::Clock,
            (Network::Jd, "11" | "12" | "19") => Cause::Credentials,
            (Network::Jd, "403") => Cause::Permission,
            (Network::Jd, "429") => Cause::Limited,
            (Network::Jd, "500") => Cause::Busy,
            _ if self.sub_code.starts_with("isp.") => Cause::Busy,
            _ if self.sub_code.contains("limited-by") => Cause::Limited,
            _ if says(too_long) => Cause::TooLong,
            _ if says(&["频率", "调用次数", "Call Limited"]) => Cause::Limited,
            _ => Cause::Other,
        }
    }

    /// For how many seconds the network says it will refuse, where it says so.
    pub fn ban_seconds(&self) -> Option<u32> {
        let (_, behind) = self.message.split_once("last for ")?;
        behind.split_whitespace().next()?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_say_what_kind_it_is() {
        let taobao =
            |code: u32, sub: &str, said: &str| Refusal::new(Network::Taobao, code.to_string(), sub.to_owned(), said);
        let limited = taobao(7, "accesscontrol.limited-by-api-access-count", "This ban will last for 17 more seconds");
        assert_eq!((limited.cause(), limited.ban_seconds()), (Cause::Limited, Some(17)));
        assert_eq!(taobao(25, "", "Invalid signature").cause(), Cause::Credentials);
        assert_eq!(taobao(31, "", "").cause(), Cause::Clock);
        assert_eq!(taobao(11, "isv.permission-api-package-limit", "").cause(), Cause::Permission);
        assert_eq!(taobao(15, "isp.top-remote-service-unavailable", "").cause(), Cause::Busy);
        assert_eq!(taobao(15, "isv.invalid-parameter", "查询时间跨度不能超过20分钟").cause(), Cause::TooLong);
        let other = taobao(15, "isv.invalid-parameter-adzone", "no\nsuch zone");
        assert_eq!(other.cause(), Cause::Other);
        assert!(other.cause().lasts() && other.ban_seconds().is_none());
        assert!(other.to_string().contains("taobao answers code 15 (isv.invalid-parameter-adzone): nosuch zone; see"));
        let jd = |code: &str| Refusal::new(Network::Jd, code.to_owned(), String::new(), "x").cause();
        assert_eq!(
            (jd("8"), jd("12"), jd("2"), jd("15")),
            (Cause::Clock, Cause::Credentials, Cause::Limited, Cause::Other)
        );
    }
}
