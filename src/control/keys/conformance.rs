//! What every key store must do, whatever database is behind it. A backend calls [`every_store`] with a way to open
//! itself anew over the same data, which must be empty.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::{KeyError, KeyStore, KeyText, NewKey, Role, ensure_admin_key};
use crate::domain::time::Timestamp;

/// Runs every demand; `folder` is for the admin key's file.
pub async fn every_store<S: KeyStore>(open: impl Fn() -> S, folder: &Path) {
    let at = Timestamp::from_millis;
    let (first, other) = (open(), open());
    assert!(first.list().await.unwrap().is_empty());

    let (text, key) = NewKey::draw(Role::Creator, Some("c1"), " shop window ", at(10)).unwrap();
    first.create(key.clone()).await.unwrap();
    assert!(first.create(key.clone()).await.is_err(), "a hash is kept once");
    assert_eq!(key.record.name, "shop window");
    assert_eq!(other.find(text.hash()).await.unwrap(), Some(key.record.clone()), "seen by another handle at once");
    let (stranger, _) = NewKey::draw(Role::Creator, Some("c1"), "x", at(10)).unwrap();
    assert_eq!(other.find(stranger.hash()).await.unwrap(), None);

    assert!(!first.revoke("nothing", at(20)).await.unwrap());
    assert!(first.revoke(&key.record.id, at(20)).await.unwrap());
    assert!(first.revoke(&key.record.id, at(30)).await.unwrap());
    let revoked = other.find(text.hash()).await.unwrap().unwrap();
    assert_eq!(revoked.revoked_at, Some(at(20)), "the first revocation counts");

    let path = folder.join("admin.key");
    assert!(ensure_admin_key(&first, &path, at(40)).await.unwrap());
    let written = std::fs::read_to_string(&path).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let admin = KeyText::parse(written.trim()).unwrap();
    let record = other.find(admin.hash()).await.unwrap().unwrap();
    assert_eq!((record.role, record.scope), (Role::Ops, None));
    assert!(!ensure_admin_key(&other, &path, at(50)).await.unwrap(), "once");
    first.revoke(&record.id, at(60)).await.unwrap();
    assert!(!ensure_admin_key(&first, &path, at(70)).await.unwrap(), "a revoked one counts as held");
    let listed: Vec<_> = open().list().await.unwrap().into_iter().map(|key| (key.role, key.revoked_at)).collect();
    assert_eq!(listed, [(Role::Creator, Some(at(20))), (Role::Ops, Some(at(60)))]);
}

#[test]
fn a_key_has_its_form_and_nothing_else_does() {
    let text = KeyText::draw(Role::Platform).unwrap();
    let shown = text.reveal().to_owned();
    assert!(shown.starts_with("hk_platform_") && shown.len() == "hk_platform_".len() + 32, "{shown}");
    assert!(KeyText::parse(&shown).is_some_and(|parsed| parsed.hash() == text.hash()));
    assert!(KeyText::draw(Role::Platform).unwrap() != text);
    for bad in ["", "hk_", "hk_root_00000000000000000000000000000000", &shown[1..], &format!("{shown}0"), "hk_ops_é"] {
        assert!(KeyText::parse(bad).is_none(), "{bad}");
    }
    let now = Timestamp::default();
    assert_eq!(NewKey::draw(Role::Ops, None, " ", now).err(), Some(KeyError::BadName("name")));
    assert_eq!(NewKey::draw(Role::Creator, Some("a b"), "n", now).err(), Some(KeyError::BadName("scope")));
}
