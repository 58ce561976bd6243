//! Every text that a person reads, in mails and on pages, in one catalogue: a language is one file, and a translation of it is another.
//!
//! A text may hold places such as `{code}`; what is put there is never looked at again, so that a value with braces in it stays what it is.

use std::collections::BTreeMap;
use std::sync::OnceLock;

/// The languages: tag (RFC 5646) and file. The first is the one that is used when nobody asks for one that is here.
const LANGUAGES: &[(&str, &str)] = &[("en", include_str!("en.toml")), ("de", include_str!("de.toml"))];

/// The texts of one language.
#[derive(Debug)]
pub struct Texts {
    tag: &'static str,
    texts: BTreeMap<String, String>,
}

/// The texts of the language with this tag, or of the first one.
#[must_use]
pub fn texts(tag: &str) -> &'static Texts {
    let all = all();
    let primary = tag.split('-').next().unwrap_or_default();
    let named = all.iter().find(|texts| texts.tag.eq_ignore_ascii_case(primary));
    // `LANGUAGES` is not empty, which a test holds; an empty catalogue shows keys.
    static NONE: Texts = Texts { tag: "en", texts: BTreeMap::new() };
    named.or_else(|| all.first()).unwrap_or(&NONE)
}

/// The tag of the first language of an `Accept-Language` header (RFC 9110, 12.5.4) that there are texts of, by its weights.
#[must_use]
pub fn preferred_language(accept_language: &str) -> &'static str {
    let weighted = accept_language.split(',').take(LANGUAGES_ASKED_MAX).filter_map(|range| {
        let (tag, parameters) = range.split_once(';').unwrap_or((range, "q=1"));
        let weight: f32 = parameters.trim().strip_prefix("q=")?.parse().ok()?;
        Some((tag.trim(), weight))
    });
    let known = |tag: &str| {
        let primary = tag.split('-').next().unwrap_or_default();
        all().iter().find(|texts| texts.tag.eq_ignore_ascii_case(primary)).map(|texts| texts.tag)
    };
    let mut best: Option<(&'static str, f32)> = None;
    for (tag, weight) in weighted {
        if let Some(tag) = known(tag)
            && weight > best.map_or(0.0, |(_, weight)| weight)
        {
            best = Some((tag, weight));
        }
    }
    best.map_or_else(|| texts("").tag, |(tag, _)| tag)
}

const LANGUAGES_ASKED_MAX: usize = 16;

/// The tags of all languages.
pub fn languages() -> impl Iterator<Item = &'static str> {
    LANGUAGES.iter().map(|(tag, _)| *tag)
}

fn all() -> &'static [Texts] {
    static ALL: OnceLock<Vec<Texts>> = OnceLock::new();
    ALL.get_or_init(|| {
        // The files are part of the binary, and a test reads them.
        LANGUAGES.iter().map(|&(tag, file)| Texts { tag, texts: toml::from_str(file).unwrap_or_default() }).collect()
    })
}

impl Texts {
    /// The tag of the language, for `lang` in HTML.
    #[must_use]
    pub const fn tag(&self) -> &'static str {
        self.tag
    }

    /// The text with this key; that of the first language where a translation lacks it, and the key itself when there is none at all.
    #[must_use]
    pub fn get<'a>(&'a self, key: &'a str) -> &'a str {
        let fallback = || texts("").texts.get(key);
        self.texts.get(key).or_else(fallback).map_or(key, String::as_str)
    }

    /// The text with this key, its places filled.
    #[must_use]
    pub fn fill(&self, key: &str, values: &[(&str, &str)]) -> String {
        let (mut filled, mut rest) = (String::new(), self.get(key));
        while let Some((before, after)) = rest.split_once('{') {
            filled.push_str(before);
            let named = after.split_once('}').and_then(|(name, after)| {
                let value = values.iter().find(|(known, _)| *known == name)?.1;
                Some((value, after))
            });
            match named {
                Some((value, after)) => {
                    filled.push_str(value);
                    rest = after;
                }
                None => {
                    filled.push('{');
                    rest = after;
                }
            }
        }
        filled.push_str(rest);
        filled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(text: &str) -> Vec<&str> {
        let mut places: Vec<_> = text.split('{').skip(1).filter_map(|rest| rest.split('}').next()).collect();
        places.sort_unstable();
        places
    }

    #[test]
    fn every_translation_has_texts_of_the_first_language_with_the_same_places() {
        let read = |file: &str| toml::from_str::<BTreeMap<String, String>>(file).unwrap();
        let first = read(LANGUAGES[0].1);
        for (tag, file) in LANGUAGES {
            for (key, text) in &read(file) {
                assert_eq!(Some(places(text)), first.get(key).map(|text| places(text)), "{tag}: {key}");
            }
        }
    }

    #[test]
    fn a_value_with_braces_is_not_looked_at_again() {
        let texts = Texts { tag: "xx", texts: [("k".to_owned(), "a {x} {y} {z".to_owned())].into() };
        assert_eq!(texts.fill("k", &[("x", "{y}"), ("y", "2")]), "a {y} 2 {z");
        assert_eq!(texts.get("missing"), "missing");
    }

    #[test]
    fn the_language_that_is_asked_for_is_found() {
        for (header, tag) in [
            ("de-AT,de;q=0.9,en;q=0.5", "de"),
            ("fr, en;q=0.8, de;q=0.7", "en"),
            ("", "en"),
            ("xx", "en"),
            ("de;q=0.1, en;q=0.2", "en"),
            (";;;,q=,de;q=x", "en"),
        ] {
            assert_eq!(preferred_language(header), tag, "{header}");
        }
        assert_eq!(texts("de-CH").tag(), "de");
    }
}
