//! The cooperation history that comes with the product, built in so that it is at hand in any folder. Never read by a
//! gateway that has a policy folder of its own.

/// A file of the history by its name.
macro_rules! shipped {
    ($name:literal) => {
        ($name, include_str!(concat!("../../config/policies/history/", $name)))
    };
}

/// Every file of `config/policies/history`: its name and its text.
pub const HISTORY: [(&str, &str); 12] = [
    shipped!("douyin-suning.yaml"),
    shipped!("douyin-taobao-tmall-jd.yaml"),
    shipped!("kuaishou-jd.yaml"),
    shipped!("kuaishou-meituan.yaml"),
    shipped!("kuaishou-taobao-tmall.yaml"),
    shipped!("kuaishou-youzan-mokuai.yaml"),
    shipped!("taobao-xiaohongshu.yaml"),
    shipped!("xiaohongshu-all.yaml"),
    shipped!("xiaohongshu-jd.yaml"),
    shipped!("xiaohongshu-taobao-tmall.yaml"),
    shipped!("xiaohongshu-vipshop.yaml"),
    shipped!("xiaohongshu-youzan-weimob.yaml"),
];

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn no_file_of_the_history_is_left_out() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/policies/history");
        let mut found: Vec<String> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        found.sort();
        assert_eq!(found, HISTORY.map(|(name, _)| name));
    }
}
