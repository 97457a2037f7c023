//! The files by which phones learn which apps may open this gateway's links: made once at start, always 200, never a
//! redirect. Without apps they say so: an empty list is an answer that ends a phone's asking, a 404 is not.

use bytes::Bytes;
use serde_json::json;

use crate::config::apps::Apps;

/// The files below `/.well-known/`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WellKnown {
    apple: Bytes,
    android: Bytes,
    harmony: Bytes,
}

impl WellKnown {
    /// The files for these apps.
    pub fn new(apps: &Apps) -> Self {
        let excluded = apps.exclude.iter().map(|path| json!({"/": path, "exclude": true}));
        let components: Vec<_> = excluded.chain(apps.paths.iter().map(|path| json!({"/": path}))).collect();
        let details: &[_] = &[json!({"appIDs": apps.ios, "components": components})];
        let details = if apps.ios.is_empty() { &[] } else { details };
        let statements: Vec<_> = apps
            .android
            .iter()
            .map(|app| {
                json!({
                    "relation": ["delegate_permission/common.handle_all_urls"],
                    "target": {
                        "namespace": "android_app",
                        "package_name": app.package,
                        "sha256_cert_fingerprints": app.fingerprints,
                    },
                })
            })
            .collect();
        let harmony: Vec<_> = apps.harmony.iter().map(|id| json!({"appIdentifier": id})).collect();
        let file = |value: serde_json::Value| Bytes::from(value.to_string());
        WellKnown {
            apple: file(json!({"applinks": {"details": details}})),
            android: file(json!(statements)),
            harmony: file(json!({"applinking": {"apps": harmony}})),
        }
    }

    /// The file of a name, if there is one.
    pub fn file(&self, name: &str) -> Option<Bytes> {
        match name {
            "apple-app-site-association" => Some(self.apple.clone()),
            "assetlinks.json" => Some(self.android.clone()),
            "applinking.json" => Some(self.harmony.clone()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::apps::AndroidApp;

    fn text(files: &WellKnown, name: &str) -> String {
        String::from_utf8(files.file(name).unwrap().to_vec()).unwrap()
    }

    #[test]
    fn without_apps_the_files_are_valid_and_empty() {
        let files = WellKnown::new(&Apps::default());
        assert_eq!(text(&files, "apple-app-site-association"), r#"{"applinks":{"details":[]}}"#);
        assert_eq!(text(&files, "assetlinks.json"), "[]");
        assert_eq!(text(&files, "applinking.json"), r#"{"applinking":{"apps":[]}}"#);
        assert_eq!(files.file("security.txt"), None);
    }

    #[test]
    fn each_file_has_the_form_its_system_reads() {
        let fingerprint = ["14"; 32].join(":");
        let files = WellKnown::new(&Apps {
            ios: vec!["A1B2C3D4E5.com.example.app".into()],
            android: vec![AndroidApp { package: "com.example.app".into(), fingerprints: vec![fingerprint.clone()] }],
            harmony: vec!["5765880207853134833".into()],
            ..Apps::default()
        });
        assert_eq!(
            text(&files, "apple-app-site-association"),
            r#"{"applinks":{"details":[{"appIDs":["A1B2C3D4E5.com.example.app"],"components":[{"/":"/*+","exclude":true},{"/":"/*"}]}]}}"#
        );
        assert_eq!(
            text(&files, "assetlinks.json"),
            format!(
                r#"[{{"relation":["delegate_permission/common.handle_all_urls"],"target":{{"namespace":"android_app","package_name":"com.example.app","sha256_cert_fingerprints":["{fingerprint}"]}}}}]"#
            )
        );
        assert_eq!(
            text(&files, "applinking.json"),
            r#"{"applinking":{"apps":[{"appIdentifier":"5765880207853134833"}]}}"#
        );
    }
}
