//! Where the public addresses of a name must lie: in the service tags that its registry's `sanity_tag` names.
//!
//! An answer for a registry that leads out of the registry service is a mistake or an attack (THREATS: poisoned answers).
//! Configured `private_link` prefixes are no part of the service, and answers may lie there all the same.

use std::net::IpAddr;
use std::sync::Arc;

use super::Question;
use crate::config::ServiceTag;
use crate::special;

/// Why an address outside of the tags is refused.
pub const OUTSIDE: &str = "outside of its service tag (sanity_tag)";

/// The service tags in which public addresses must lie; none where they may lie anywhere.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Sanity(Vec<Arc<ServiceTag>>);

impl Sanity {
    /// Another rule of the same policy is about the name as well, and has these tags: an answer may lie in those of any
    /// rule that has some. A rule without any has no opinion.
    pub fn add(&mut self, tags: &[Arc<ServiceTag>]) {
        for tag in tags {
            if !self.0.contains(tag) {
                self.0.push(Arc::clone(tag));
            }
        }
    }

    /// Another policy asks for the name as well: what is sane to either is accepted.
    pub fn or(&mut self, other: &Self) {
        if self.0.is_empty() || other.0.is_empty() {
            self.0.clear();
        } else {
            self.add(&other.0);
        }
    }

    fn admits(&self, address: IpAddr) -> bool {
        let has = |address| self.0.iter().any(|tag| tag.prefixes.contains(address));
        self.0.is_empty() || has(address) || special::nat64(address).is_some_and(has)
    }
}

impl Question {
    /// Accepts an address of an answer, or says why not: as [`special::judge`], and for its sanity.
    ///
    /// # Errors
    /// The class of special-purpose addresses that it belongs to, or [`OUTSIDE`].
    pub fn judge(&self, address: IpAddr) -> Result<IpAddr, &'static str> {
        let address = special::judge(address, &self.private_link)?;
        let is_private = || self.private_link.iter().any(|net| net.contains(&address));
        if self.sanity.admits(address) || is_private() {
            Ok(address)
        } else {
            Err(OUTSIDE)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::ServerName;
    use crate::prefixes::PrefixSet;

    fn tag(name: &str, v4: &str, v6: &str) -> Arc<ServiceTag> {
        Arc::new(ServiceTag {
            name: name.to_owned(),
            file: "tags.json".into(),
            prefixes: PrefixSet::new(vec![v4.parse().unwrap()], vec![v6.parse().unwrap()]),
        })
    }

    fn question(tags: &[Arc<ServiceTag>]) -> Question {
        let mut sanity = Sanity::default();
        sanity.add(tags);
        Question {
            name: ServerName::parse("contoso.azurecr.io").unwrap(),
            private_link: vec!["10.20.0.0/16".parse().unwrap()],
            sanity,
        }
    }

    fn judge(question: &Question, address: &str) -> Result<String, &'static str> {
        let judged = question.judge(address.parse().unwrap());
        judged.map(|address| address.to_string())
    }

    #[test]
    fn public_answers_lie_in_the_tags_and_private_ones_where_they_may() {
        let question = question(&[tag("A", "20.42.0.0/16", "2603:1030::/32")]);
        for address in [
            "20.42.66.1",
            "::ffff:20.42.66.1",
            "2603:1030::5",
            "10.20.1.1",
            "64:ff9b::142a:4201",
        ] {
            assert!(judge(&question, address).is_ok(), "{address}");
        }
        for address in ["20.43.0.1", "2603:1031::1", "64:ff9b::142b:1"] {
            assert_eq!(judge(&question, address), Err(OUTSIDE), "{address}");
        }
        for (address, why) in [
            ("10.21.0.1", "private (RFC 1918)"),
            ("127.0.0.1", "loopback (RFC 1122)"),
        ] {
            assert_eq!(judge(&question, address), Err(why));
        }
        assert_eq!(
            judge(&self::question(&[]), "20.43.0.1").as_deref(),
            Ok("20.43.0.1")
        );
    }

    #[test]
    fn tags_of_one_policy_add_up_and_those_of_two_never_refuse_what_one_accepts() {
        let (a, b) = (
            tag("A", "20.0.0.0/16", "2603::/32"),
            tag("B", "21.0.0.0/16", "2604::/32"),
        );
        let mut both = question(&[Arc::clone(&a)]);
        both.sanity.add(&[Arc::clone(&b), Arc::clone(&a)]);
        both.sanity.add(&[]);
        assert_eq!(both.sanity.0.len(), 2);
        assert!(judge(&both, "20.0.0.1").is_ok() && judge(&both, "21.0.0.1").is_ok());
        assert_eq!(judge(&both, "22.0.0.1"), Err(OUTSIDE));
        let mut either = question(&[a]).sanity;
        either.or(&question(&[b]).sanity);
        assert_eq!(either, both.sanity);
        either.or(&Sanity::default());
        assert_eq!(either, Sanity::default(), "one of them has no bound");
    }
}
