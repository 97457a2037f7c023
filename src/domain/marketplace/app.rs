//! How a marketplace is opened otherwise than by a plain redirect: its app, its mini program, its pages for other apps.
//! Never decides which of them a visitor gets, and builds no address: it holds what files say.

/// What is known of a marketplace's app and its like. Everything may be missing.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct App {
    /// The package on Android, `com.taobao.taobao`.
    pub android_package: Option<Box<str>>,
    /// The number in Apple's store.
    pub ios_store_id: Option<Box<str>>,
    /// The bundle on HarmonyOS.
    pub harmony_bundle: Option<Box<str>>,
    /// URL schemes the app may be opened with, in lower case.
    pub schemes: Vec<Box<str>>,
    /// How a landing is carried into the app: an address that begins with one of `schemes`.
    pub open: Option<Carrier>,
    /// An https address on a domain of the marketplace that the system opens in the app; its value may hold `{open}`,
    /// which is the address that [`App::open`] makes.
    pub universal_link: Option<Carrier>,
    /// Its mini program in WeChat.
    pub mini_program: Option<MiniProgram>,
    /// Its pages that are made to be shown inside another app.
    pub in_app: Option<InApp>,
}

/// An address that carries another: a fixed beginning, and a value that is percent-encoded whole behind it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Carrier {
    /// The beginning, as it is.
    pub prefix: Box<str>,
    /// The value, with `{url}` for the landing. Where it is a JSON text (it begins with `{"`), what is put in is escaped
    /// for JSON before the whole is percent-encoded.
    pub value: Box<str>,
}

/// A mini program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MiniProgram {
    /// Its id, `wx…`.
    pub app_id: Box<str>,
    /// Its page, with the landing percent-encoded at `{url}`.
    pub path: Box<str>,
    /// Its original name, `gh_…`, which the launch tag of some pages asks for.
    pub user_name: Option<Box<str>>,
}

/// Pages made to be shown inside another app.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InApp {
    /// Hosts of such pages: a landing on one of them may be shown as it is.
    pub hosts: Vec<Box<str>>,
    /// How another landing becomes one: `{item}` stands for its item, `{url}` for itself.
    pub carrier: Option<Carrier>,
}
