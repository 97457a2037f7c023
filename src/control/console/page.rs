//! The pages: log-in, the form, a link with its QR code and what it does at each placement, the latest links. Markup only;
//! whatever is not ours is escaped on its way in. No script, nothing fetched.

use std::fmt::Write as _;

use super::super::fields::FieldFault;
use super::form::Form;
use super::words;
use crate::domain::vocabulary::{ShopType, Surface, Vocabulary};
use crate::wording::{Language, escape, marketplace, platform, shop_type, surface};

/// The style of every page here; its hash is in the policy that goes with it.
pub(super) const STYLE: &str = "\
:root{color-scheme:light dark;--line:#d1d5db;--soft:#6b7280;--card:#f9fafb;--do:#1d4ed8;--yes:#15803d;--no:#b91c1c}\
@media(prefers-color-scheme:dark){:root{--line:#374151;--soft:#9ca3af;--card:#1f2937;--do:#60a5fa;--yes:#4ade80;\
--no:#f87171}}*{box-sizing:border-box}body{font:16px/1.6 system-ui,-apple-system,\"PingFang SC\",\"Noto Sans SC\",\
\"Noto Sans CJK SC\",sans-serif;margin:0;background:Canvas;color:CanvasText;overflow-wrap:anywhere}\
header{display:flex;flex-wrap:wrap;gap:.5rem 1rem;align-items:center;justify-content:space-between;padding:.6rem 1rem;\
border-bottom:1px solid var(--line)}header form{display:inline}nav{display:flex;flex-wrap:wrap;gap:.25rem 1rem;\
align-items:center}main{max-width:46rem;margin:0 auto;padding:1rem}h1{font-size:1.25rem;margin:.5rem 0}\
h2{font-size:1.05rem;margin:1.75rem 0 .5rem}h3{font-size:1rem;margin:1.1rem 0 .2rem}p{margin:.4rem 0}\
a{color:var(--do)}label{display:block;font-weight:600;margin:.9rem 0 .25rem}label small{font-weight:400}\
small,.s{color:var(--soft)}small{font-size:.875rem}::placeholder{color:var(--soft);opacity:1}\
input,select,summary{min-height:2.75rem}summary{line-height:2.75rem}header a,header button.plain{display:inline-flex;\
align-items:center;justify-content:center;min-width:2.75rem;min-height:2.75rem}input,select,textarea{width:100%;\
font:inherit;padding:.55rem .65rem;border:1px solid var(--line);border-radius:.5rem;background:Canvas;color:CanvasText}\
textarea{min-height:6.5rem}\
.bad{border-color:var(--no)}.fault{color:var(--no);margin:.25rem 0 0}.two{display:grid;gap:0 1rem;\
grid-template-columns:repeat(auto-fit,minmax(13rem,1fr))}button{font:inherit;font-weight:600;min-height:2.75rem;\
padding:.5rem 1.25rem;border:0;border-radius:.5rem;background:var(--do);color:Canvas;cursor:pointer}\
button.plain{background:none;color:var(--do);font-weight:400;min-height:0;padding:0}.act{margin:1.1rem 0}\
.card{border:1px solid var(--line);background:var(--card);border-radius:.75rem;padding:1rem;margin:1rem 0}\
.link{display:flex;flex-wrap:wrap;gap:1rem;align-items:flex-start}.link>div{flex:1 1 14rem;min-width:0}\
.link svg{width:11rem;height:11rem;border-radius:.5rem;flex:none}.short{font-size:1.15rem;font-weight:600}\
dl{display:grid;grid-template-columns:max-content 1fr;gap:.1rem .8rem;margin:.5rem 0}dt{color:var(--soft)}\
dd{margin:0;min-width:0}ul{list-style:none;margin:0;padding:0}li{border-left:4px solid var(--line);\
padding:.3rem 0 .3rem .75rem;margin:.45rem 0}li.yes{border-color:var(--yes)}li.no{border-color:var(--no)}\
.tap,li a{display:inline-flex;align-items:center;min-height:2.75rem}.tap{min-width:2.75rem}.yes b{color:var(--yes)}.no b{color:var(--no)}code{font:.9em ui-monospace,monospace}\
.note{border:1px solid var(--no);border-radius:.5rem;padding:.5rem .75rem;margin:1rem 0}\
:focus-visible{outline:3px solid var(--do);outline-offset:2px}";

/// The most of a refused text that is put back into its field.
const KEPT: usize = 4_096;

/// Around every page.
pub(super) struct Around<'a> {
    pub(super) language: Language,
    /// The form's token, and who is logged in; none on the log-in page.
    pub(super) session: Option<(&'a str, String)>,
    /// Where the other language of this page is, as a query.
    pub(super) here: String,
    /// Shown on top: a rehearsal's hour.
    pub(super) notice: Option<String>,
}

impl Around<'_> {
    /// A whole page.
    pub(super) fn page(&self, title: &str, body: &str) -> String {
        let language = self.language;
        let other = match language {
            Language::Zh => ("en", "en", "English"),
            Language::En => ("zh", "zh-CN", "中文"),
        };
        let session = self.session.as_ref().map(|(token, who)| {
            format!(
                "<small>{}</small> <form method=\"post\" action=\"/logout\">{}<button class=\"plain\">{}</button></form>",
                escape(who),
                hidden("token", token),
                language.pick("退出", "Log out")
            )
        });
        let notice = self.notice.as_deref().map(|text| format!("<p class=\"note\">{}</p>\n", escape(text)));
        format!(
            "<!doctype html>\n<html lang=\"{}\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"robots\" content=\"noindex\">\n<title>{title} · hopgate</title>\n<style>{STYLE}</style>\n</head>\n\
             <body>\n<header><a href=\"/\"><b>hopgate</b></a><nav>{}<a href=\"/?lang={}{}\" hreflang=\"{}\" \
             lang=\"{}\">{}</a></nav></header>\n<main>\n{}{body}</main>\n</body>\n</html>\n",
            language.tag(),
            session.unwrap_or_default(),
            other.0,
            escape(&self.here),
            other.1,
            other.1,
            other.2,
            notice.unwrap_or_default(),
            title = escape(title),
        )
    }
}

fn hidden(name: &str, value: &str) -> String {
    format!("<input type=\"hidden\" name=\"{name}\" value=\"{}\">", escape(value))
}

/// The log-in form, with what went wrong.
pub(super) fn login(language: Language, wrong: Option<&str>) -> String {
    let pick = |zh, en| language.pick(zh, en);
    let (class, fault) = match wrong {
        Some(text) => (" class=\"bad\"", format!("<p class=\"fault\" role=\"alert\">{}</p>", escape(text))),
        None => ("", String::new()),
    };
    format!(
        "<h1>{}</h1>\n<p>{}</p>\n<form method=\"post\" action=\"/login\">\n<label for=\"key\">{}</label>\n\
         <input id=\"key\" name=\"key\" type=\"password\" autocomplete=\"current-password\" required maxlength=\"100\" \
         placeholder=\"hk_creator_…\"{class}>\n{fault}\n<p class=\"act\"><button>{}</button></p>\n</form>\n",
        pick("创作者页面", "Page of creators"),
        pick(
            "粘贴商品链接，得到短链和二维码，并看到它在每个平台现在能不能用。",
            "Paste a shop link, get a short link and a QR code, and see where it works now."
        ),
        pick("API 密钥", "API key"),
        pick("登录", "Log in"),
    )
}

/// What the form needs to know.
pub(super) struct Making<'a> {
    pub(super) language: Language,
    pub(super) words: &'a Vocabulary,
    pub(super) token: &'a str,
    /// What was sent, to be kept.
    pub(super) form: &'a Form,
    pub(super) faults: &'a [FieldFault],
    /// Whether the key may name creators.
    pub(super) names_creators: bool,
}

impl Making<'_> {
    fn fault(&self, field: &str) -> (String, String) {
        let mine = |fault: &&FieldFault| {
            fault.field == field
                || fault.field.starts_with(&format!("{field}["))
                || fault.field.starts_with(&format!("{field}."))
        };
        let texts: Vec<String> = self
            .faults
            .iter()
            .filter(mine)
            .map(|fault| {
                let place = fault.field.strip_prefix(field).unwrap_or_default();
                let place = place.trim_start_matches('[').split(']').next().unwrap_or_default();
                let line = place.parse::<usize>().ok().map(|place| match self.language {
                    Language::Zh => format!("第 {} 条：", place + 1),
                    Language::En => format!("Line {}: ", place + 1),
                });
                let text = format!("{}{}", line.unwrap_or_default(), words::fault(fault, self.language));
                format!("<p class=\"fault\">{}</p>", escape(&text))
            })
            .collect();
        if texts.is_empty() {
            return (String::new(), String::new());
        }
        let marks = format!(" class=\"bad\" aria-invalid=\"true\" aria-describedby=\"{field}-fault\"");
        (marks, format!("<div id=\"{field}-fault\" role=\"alert\">{}</div>", texts.concat()))
    }

    fn kept(&self, field: &str) -> String {
        escape(&self.form.text(field).chars().take(KEPT).collect::<String>())
    }

    fn choice<'c>(
        &self,
        field: &str,
        label: &str,
        none: &str,
        options: impl Iterator<Item = (&'c str, String)>,
    ) -> String {
        let (class, fault) = self.fault(field);
        let sent = self.form.text(field);
        let options: Vec<String> = options
            .map(|(value, text)| {
                let chosen = if value == sent { " selected" } else { "" };
                format!("<option value=\"{}\"{chosen}>{}</option>", escape(value), escape(&text))
            })
            .collect();
        format!(
            "<div><label for=\"{field}\">{label}</label><select id=\"{field}\" name=\"{field}\"{class}>\
             <option value=\"\">{none}</option>{}</select>{fault}</div>\n",
            options.concat()
        )
    }

    fn line(&self, field: &str, label: &str, hint: &str) -> String {
        let (class, fault) = self.fault(field);
        format!(
            "<div><label for=\"{field}\">{label}</label><input id=\"{field}\" name=\"{field}\" value=\"{}\" \
             placeholder=\"{hint}\" autocomplete=\"off\" autocapitalize=\"off\"{class}>{fault}</div>\n",
            self.kept(field)
        )
    }

    /// The form that makes a link.
    pub(super) fn html(&self) -> String {
        let language = self.language;
        let pick = |zh, en| language.pick(zh, en);
        let (class, fault) = self.fault("url");
        let mut out = format!(
            "<h1>{}</h1>\n<form method=\"post\" action=\"/links\">{}\n<label for=\"url\">{} <small>{}</small></label>\n\
             <textarea id=\"url\" name=\"url\" autocomplete=\"off\" autocapitalize=\"off\" spellcheck=\"false\" \
             placeholder=\"https://…\"{class}>\n{}</textarea>{fault}\n<div class=\"two\">\n",
            pick("生成短链", "Make a short link"),
            hidden("token", self.token),
            pick("粘贴链接或整段分享文案", "Paste a link or a whole share text"),
            pick("淘宝、天猫、京东等", "Taobao, Tmall, JD and others"),
            self.kept("url"),
        );
        let any = pick("不限（点击时识别）", "any (told at the click)");
        let platforms = self.words.platforms().map(|id| (id, platform(id, language)));
        out += &self.choice("platform", pick("发布平台", "Platform"), any, platforms);
        let spots = Surface::ALL.iter().map(|spot| (spot.as_str(), surface(*spot, language).to_owned()));
        out += &self.choice("surface", pick("发布位置", "Spot"), any, spots);
        let known = ShopType::ALL.iter().filter(|sort| **sort != ShopType::Unknown);
        let shops = known.map(|sort| (sort.as_str(), shop_type(*sort, language).to_owned()));
        out += &self.choice("shop_type", pick("店铺类型", "Shop type"), pick("未知", "not known"), shops);
        // Asked for only where a code does not tell whose it is.
        if !self.form.text("marketplace").is_empty() || self.faults.iter().any(|fault| fault.field == "marketplace") {
            let homes = self.words.markets().all().filter(|(_, table)| table.home.is_some());
            let homes = homes.map(|(_, table)| (&*table.id, marketplace(&table.names, language).to_owned()));
            out += &self.choice(
                "marketplace",
                pick("口令所属商城", "Marketplace of the code"),
                pick("未选", "none"),
                homes,
            );
        }
        out += &self.line("category", pick("商品类目", "Category"), pick("可不填", "optional"));
        out += &self.line("slug", pick("自定短码", "Slug"), pick("留空自动生成", "drawn when left out"));
        if self.names_creators {
            out += &self.line("creator", pick("创作者", "Creator"), pick("可不填", "optional"));
        }
        let (class, fault) = self.fault("alternates");
        let open = if self.form.text("alternates").is_empty() { "" } else { " open" };
        let _ = write!(
            out,
            "</div>\n<details{open}><summary>{}</summary>\n<label for=\"alternates\">{} <small>{}</small></label>\n\
             <textarea id=\"alternates\" name=\"alternates\" autocomplete=\"off\" autocapitalize=\"off\" \
             spellcheck=\"false\"{class}>\n{}</textarea>{fault}</details>\n<p class=\"act\"><button>{}</button></p>\n</form>\n",
            pick("备选落地页", "Alternates"),
            pick("每行一个链接，按顺序尝试", "one link a line, tried in order"),
            pick("可在后面写 ,shop_type=flagship", "may be followed by ,shop_type=flagship"),
            self.kept("alternates"),
            pick("生成短链", "Make the link"),
        );
        // Faults of fields the form does not have.
        let shown =
            ["url", "platform", "surface", "shop_type", "marketplace", "category", "slug", "creator", "alternates"];
        for fault in self.faults.iter().filter(|fault| !shown.iter().any(|field| fault.field.starts_with(field))) {
            let _ = writeln!(out, "<p class=\"fault\" role=\"alert\">{}</p>", escape(&words::fault(fault, language)));
        }
        out
    }
}

/// The ways to the reader's own reports.
pub(super) fn reports(language: Language) -> String {
    let pick = |zh, en| language.pick(zh, en);
    let mut out = format!("<h2>{}</h2>\n<p>", pick("报表", "Reports"));
    for (name, zh, en) in [
        ("links", "短链", "links"),
        ("funnel", "从笔记到订单", "from note to order"),
        ("settlement", "结算", "settlement"),
    ] {
        let _ = write!(out, "<a class=\"tap\" href=\"/v1/reports/{name}?format=html\">{}</a> ", pick(zh, en));
    }
    out + "</p>\n"
}

/// Something to know of a link that was just made.
pub(super) fn note(text: &str) -> String {
    format!("<p class=\"note\" role=\"status\">{}</p>\n", escape(text))
}

/// A page that says one thing.
pub(super) fn message(title: &str, text: &str, back: &str) -> String {
    format!("<h1>{}</h1>\n<p>{}</p>\n<p><a href=\"/\">{}</a></p>\n", escape(title), escape(text), escape(back))
}
