//! `Location` and `Set-Cookie` of an upstream, put into the gateway's own address. A redirect stays at the upstream, or
//! leads to a host a click may land on, or is not passed on at all.

use http::{HeaderMap, HeaderValue, Uri, header};
use url::Url;

use super::upstream::Upstream;
use crate::domain::marketplace::Marketplaces;

/// Where an upstream's pages are seen by visitors.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place<'a> {
    /// At a host of their own, from its root.
    Mount(&'a str),
    /// At our own host, below `/_p/{name}`.
    Prefix(&'a str),
}

impl Place<'_> {
    /// Whether at a host of their own.
    pub fn is_mount(self) -> bool {
        matches!(self, Place::Mount(_))
    }
}

/// A redirect that may not be passed on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OutOfBounds;

/// What visitors get for the `Location` of an answer to `asked`, if there is one.
///
/// # Errors
/// [`OutOfBounds`] for one that leads elsewhere, for one nobody can read, and for two of them.
pub fn location(
    headers: &HeaderMap,
    asked: &Uri,
    upstream: &Upstream,
    place: Place<'_>,
    markets: &Marketplaces,
) -> Result<Option<HeaderValue>, OutOfBounds> {
    let mut values = headers.get_all(header::LOCATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(OutOfBounds);
    }
    let text = value.to_str().map_err(|_| OutOfBounds)?;
    let settings = &upstream.settings;
    let origins = settings.origins.iter();
    let base = origins.clone().next().map(|origin| origin.shown.as_str()).ok_or(OutOfBounds)?;
    let asked = asked.path_and_query().map_or("/", |target| target.as_str());
    let target = Url::parse(base).and_then(|base| base.join(asked)).and_then(|asked| asked.join(text));
    let target = target.map_err(|_| OutOfBounds)?;
    if !matches!(target.scheme(), "http" | "https") || !target.username().is_empty() || target.password().is_some() {
        return Err(OutOfBounds);
    }
    let at_origin = settings.origins.iter().any(|origin| {
        target.host().is_some_and(|host| host.to_owned() == origin.host)
            && target.port_or_known_default() == Some(origin.port)
            && (target.scheme() == "https") == origin.tls
    });
    let host = target.host_str().unwrap_or_default();
    let of_upstream =
        settings.landing_hosts.iter().any(|served| served == host) || settings.server_name.as_deref() == Some(host);
    let at_mount = settings.is_mount(&target[url::Position::BeforeHost..url::Position::AfterPort]);
    let rewritten = if at_origin || at_mount || (of_upstream && target.port().is_none()) {
        let rest = &target[url::Position::BeforePath..];
        match place {
            Place::Prefix(name) => format!("/_p/{name}{rest}"),
            // Two slashes would begin another host.
            Place::Mount(_) if rest.starts_with("//") => return Err(OutOfBounds),
            Place::Mount(_) => rest.to_owned(),
        }
    } else {
        // Like any link that is pasted: the allow-list, and two parsers that agree.
        markets.recognise(target.as_str()).map_err(|_| OutOfBounds)?.destination.as_str().to_owned()
    };
    HeaderValue::try_from(rewritten).map(Some).map_err(|_| OutOfBounds)
}

/// A `Set-Cookie` as visitors get it: for the host they are at only, and below the upstream's own path there. All else
/// stays as it is.
pub fn set_cookie(value: &[u8], place: Place<'_>) -> Vec<u8> {
    let mut parts = value.split(|byte| *byte == b';');
    let mut out = parts.next().unwrap_or_default().to_vec();
    let mut path: Option<&[u8]> = None;
    for part in parts {
        let mut halves = part.splitn(2, |byte| *byte == b'=');
        let name = halves.next().unwrap_or_default().trim_ascii();
        let text = halves.next().unwrap_or_default().trim_ascii();
        if name.eq_ignore_ascii_case(b"domain") {
            continue;
        }
        if name.eq_ignore_ascii_case(b"path") && !place.is_mount() {
            // The last one counts; one that does not begin with a slash says nothing.
            path = Some(text).filter(|text| text.starts_with(b"/"));
            continue;
        }
        out.push(b';');
        out.extend_from_slice(part);
    }
    if let Place::Prefix(name) = place {
        out.extend_from_slice(b"; Path=/_p/");
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(path.unwrap_or(b"/"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::proxy::{Origin, ProxySettings, UpstreamSettings};
    use crate::edge::proxy::upstream::build;
    use std::time::Duration;
    use url::Host;

    fn upstream() -> std::sync::Arc<Upstream> {
        let settings = UpstreamSettings {
            name: "jd".into(),
            landing_hosts: vec!["item.m.jd.com".into()],
            origins: vec![Origin {
                shown: "http://10.0.0.5:8080".into(),
                tls: false,
                host: Host::Ipv4([10, 0, 0, 5].into()),
                port: 8080,
            }],
            server_name: None,
            ca: None,
            mount: Some("in.example.com".into()),
            paths: Vec::new(),
            connect_timeout: Duration::from_secs(1),
            head_timeout: Duration::from_secs(1),
            idle_timeout: Duration::from_secs(1),
            max_connections: 1,
            max_request_bytes: 0,
            max_response_bytes: 1,
            retries: 0,
            max_failures: 1,
            rest: Duration::from_secs(1),
        };
        std::sync::Arc::clone(&build(&ProxySettings { upstreams: vec![settings] }).unwrap()[0])
    }

    #[test]
    fn redirects_stay_within_bounds() {
        let (upstream, markets) = (upstream(), crate::config::marketplaces::shipped().markets());
        let asked: Uri = "/product/1.html?a=b".parse().unwrap();
        let say = |text: &str, place| {
            let mut headers = HeaderMap::new();
            headers.insert(header::LOCATION, HeaderValue::from_bytes(text.as_bytes()).unwrap());
            location(&headers, &asked, &upstream, place, markets)
                .map(|value| value.unwrap().to_str().unwrap().to_owned())
        };
        let (mount, prefix) = (Place::Mount("in.example.com"), Place::Prefix("jd"));
        for (text, at_mount, below_prefix) in [
            ("/login?x=1#y", "/login?x=1#y", "/_p/jd/login?x=1#y"),
            ("2.html", "/product/2.html", "/_p/jd/product/2.html"),
            ("?page=2", "/product/1.html?page=2", "/_p/jd/product/1.html?page=2"),
            ("../../..//x", "", "/_p/jd//x"),
            ("http://10.0.0.5:8080/a", "/a", "/_p/jd/a"),
            ("https://item.m.jd.com/a", "/a", "/_p/jd/a"),
            ("http://item.m.jd.com/a", "/a", "/_p/jd/a"),
            ("//item.m.jd.com/a", "/a", "/_p/jd/a"),
            ("https://in.example.com/a", "/a", "/_p/jd/a"),
            ("https://item.m.jd.com//evil.test/", "", "/_p/jd//evil.test/"),
            ("https://item.m.jd.com/\\evil.test/", "", "/_p/jd//evil.test/"),
            ("https://item.jd.com/1.html", "https://item.jd.com/1.html", "https://item.jd.com/1.html"),
            ("https://detail.tmall.com/item.htm?id=1&x='", "", ""),
        ] {
            // An empty expectation at a mount is a refusal; the last row is only about being left as it is.
            if text.contains("tmall") {
                assert!(say(text, mount).unwrap().starts_with("https://detail.tmall.com/item.htm?id=1&x="));
                continue;
            }
            assert_eq!(say(text, mount).unwrap_or_default(), at_mount, "{text}");
            assert_eq!(say(text, prefix).unwrap(), below_prefix, "{text}");
        }
        for text in [
            "https://evil.test/",
            "//evil.test/",
            "/\\evil.test",
            "\\\\evil.test",
            "https:evil.test",
            "https://item.m.jd.com@evil.test/",
            "https://item.m.jd.com.evil.test/",
            "https://user@item.m.jd.com/",
            "https://item.m.jd.com:444/",
            "http://10.0.0.5:8081/",
            "https://10.0.0.5:8080/",
            "http://10.0.0.6:8080/",
            "http://169.254.169.254/latest",
            "https://passport.jd.com/login?ReturnUrl=//evil.test",
            "javascript:alert(1)",
            "data:text/html,x",
            "https://",
            "https://[::1",
        ] {
            assert_eq!(say(text, mount), Err(OutOfBounds), "{text}");
            let below = say(text, prefix);
            assert!(below == Err(OutOfBounds) || below.as_deref().is_ok_and(|to| to.starts_with("/_p/jd/")), "{text}");
        }
        let mut two = HeaderMap::new();
        two.append(header::LOCATION, HeaderValue::from_static("/a"));
        two.append(header::LOCATION, HeaderValue::from_static("/b"));
        assert_eq!(location(&two, &asked, &upstream, mount, markets), Err(OutOfBounds));
        assert_eq!(location(&HeaderMap::new(), &asked, &upstream, mount, markets), Ok(None));
    }

    #[test]
    fn cookies_stay_at_their_place() {
        let say = |text: &str, place| String::from_utf8(set_cookie(text.as_bytes(), place)).unwrap();
        for (text, at_mount, below_prefix) in [
            ("a=1", "a=1", "a=1; Path=/_p/jd/"),
            ("a=1; Path=/", "a=1; Path=/", "a=1; Path=/_p/jd/"),
            (
                "a=1; path=/cart; Secure; HttpOnly",
                "a=1; path=/cart; Secure; HttpOnly",
                "a=1; Secure; HttpOnly; Path=/_p/jd/cart",
            ),
            ("a=1; Domain=.jd.com; Secure", "a=1; Secure", "a=1; Secure; Path=/_p/jd/"),
            ("a=1;domain=jd.com;DOMAIN=x;SameSite=None", "a=1;SameSite=None", "a=1;SameSite=None; Path=/_p/jd/"),
            ("a=1; Path=cart", "a=1; Path=cart", "a=1; Path=/_p/jd/"),
            ("a=1; Path=/x; Path=/y", "a=1; Path=/x; Path=/y", "a=1; Path=/_p/jd/y"),
            ("a=\"x,y\"; Max-Age=5", "a=\"x,y\"; Max-Age=5", "a=\"x,y\"; Max-Age=5; Path=/_p/jd/"),
        ] {
            assert_eq!(say(text, Place::Mount("in.example.com")), at_mount, "{text}");
            assert_eq!(say(text, Place::Prefix("jd")), below_prefix, "{text}");
        }
    }
}
