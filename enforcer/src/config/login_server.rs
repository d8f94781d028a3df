//! The login server of a registry, and the names that follow from it.

use std::fmt;

use super::cloud::Cloud;
use super::region::Region;
use crate::names::ServerName;

/// Login server of the Microsoft Container Registry.
pub const MCR_LOGIN_SERVER: &str = "mcr.microsoft.com";
/// Above its data endpoints. The documentation advises against naming those of single regions.
pub const MCR_DATA_SUFFIX: &str = "data.mcr.microsoft.com";

/// Fewest and most characters of a registry's name.
const REGISTRY_NAME_CHARS: std::ops::RangeInclusive<usize> = 5..=50;

/// `<registry>.azurecr.io` or, with a domain name label, `<registry>-<hash>.azurecr.io`; or its like in another cloud.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct LoginServer {
    name: ServerName,
}

/// Why a name is not that of a login server.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum LoginServerError {
    /// It is under no domain in which registries are known to live.
    #[error("`{name}` is under no known registry domain (azurecr.io, azurecr.cn, azurecr.us)")]
    UnknownDomain {
        /// The name.
        name: ServerName,
    },
    /// The Microsoft Container Registry, which has no login server of its own.
    #[error("`{name}` belongs to the Microsoft Container Registry")]
    Mcr {
        /// The name.
        name: ServerName,
    },
    /// The registry domain itself.
    #[error("`{name}` is the domain of all registries, not the login server of one")]
    BareDomain {
        /// The name.
        name: ServerName,
    },
    /// A data endpoint.
    #[error("`{registry}.{region}.data.{domain}` is a data endpoint, not a login server")]
    DataEndpoint {
        /// Its registry.
        registry: String,
        /// Its region.
        region: String,
        /// The registry domain.
        domain: &'static str,
    },
    /// A regional login server.
    #[error("`{registry}.{region}.geo.{domain}` is the login server of one region")]
    Regional {
        /// Its registry.
        registry: String,
        /// Its region.
        region: String,
        /// The registry domain.
        domain: &'static str,
    },
    /// The name that a Private Link answer leads through.
    #[error(
        "`{registry}.privatelink.{domain}` is an alias that Private Link puts into answers, not a login server"
    )]
    PrivateLink {
        /// Its registry.
        registry: String,
        /// The registry domain.
        domain: &'static str,
    },
    /// More labels than one before the domain.
    #[error("`{name}` has {labels} labels before `{domain}`, a login server has one")]
    TooDeep {
        /// The name.
        name: ServerName,
        /// How many there are.
        labels: usize,
        /// The registry domain.
        domain: &'static str,
    },
    /// The registry's name has another length than registry names have.
    #[error("the registry name `{registry}` has {length} characters; registry names have 5 to 50")]
    Length {
        /// The registry's name, without the hash of a domain name label.
        registry: String,
        /// Its length in characters.
        length: usize,
    },
    /// The label has more than the one dash, or nothing beside it.
    #[error(
        "`{label}` is neither a registry name (letters and digits) nor one with a domain name label (`name-hash`)"
    )]
    Label {
        /// The label.
        label: String,
    },
}

impl LoginServer {
    /// Validates that `name` is the login server of one registry.
    ///
    /// # Errors
    /// What it is instead, as far as that can be told.
    pub fn new(name: ServerName) -> Result<Self, LoginServerError> {
        if name.as_str() == MCR_LOGIN_SERVER || name.is_below(MCR_LOGIN_SERVER) {
            return Err(LoginServerError::Mcr { name });
        }
        if Cloud::ALL
            .iter()
            .any(|cloud| cloud.registry_domain() == name.as_str())
        {
            return Err(LoginServerError::BareDomain { name });
        }
        let Some(cloud) = Cloud::of(&name) else {
            return Err(LoginServerError::UnknownDomain { name });
        };
        let domain = cloud.registry_domain();
        let labels: Vec<&str> = name.labels().collect();
        // Both labels of the registry domain are behind these.
        match labels[..labels.len() - 2] {
            [label] => check_label(label)?,
            [registry, region, "data"] => {
                return Err(LoginServerError::DataEndpoint {
                    registry: registry.to_owned(),
                    region: region.to_owned(),
                    domain,
                });
            }
            [registry, region, "geo"] => {
                return Err(LoginServerError::Regional {
                    registry: registry.to_owned(),
                    region: region.to_owned(),
                    domain,
                });
            }
            [registry, "privatelink"] => {
                return Err(LoginServerError::PrivateLink {
                    registry: registry.to_owned(),
                    domain,
                });
            }
            ref deep => {
                let labels = deep.len();
                return Err(LoginServerError::TooDeep { name, labels, domain });
            }
        }
        Ok(Self { name })
    }

    /// The host name.
    #[must_use]
    pub fn name(&self) -> &ServerName {
        &self.name
    }

    /// The first label: the registry's name, with its hash where it has a domain name label.
    #[must_use]
    pub fn label(&self) -> &str {
        self.name.labels().next().unwrap_or_default()
    }

    /// Whether it has a domain name label, from which its other endpoints can not be derived.
    #[must_use]
    pub fn has_name_label(&self) -> bool {
        self.label().contains('-')
    }

    /// The cloud that it is in.
    #[must_use]
    pub fn cloud(&self) -> Cloud {
        Cloud::of(&self.name).expect("checked when it was made, and the name does not change")
    }

    /// The dedicated data endpoint in `region`: `<registry>.<region>.data.azurecr.io`.
    #[must_use]
    pub fn data_endpoint(&self, region: &Region) -> ServerName {
        self.endpoint(region, "data")
    }

    /// The login server of one region: `<registry>.<region>.geo.azurecr.io`.
    #[must_use]
    pub fn regional(&self, region: &Region) -> ServerName {
        self.endpoint(region, "geo")
    }

    fn endpoint(&self, region: &Region, kind: &str) -> ServerName {
        let domain = self.cloud().registry_domain();
        ServerName::parse(&format!("{}.{region}.{kind}.{domain}", self.label()))
            .expect("two valid labels before a short domain are a valid name")
    }
}

impl fmt::Display for LoginServer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name.fmt(out)
    }
}

fn check_label(label: &str) -> Result<(), LoginServerError> {
    let (registry, hash) = label.split_once('-').unwrap_or((label, "hash"));
    // A name's label has letters, digits and hyphens only, and no hyphen at its ends.
    if hash.contains('-') {
        return Err(LoginServerError::Label {
            label: label.to_owned(),
        });
    }
    if !REGISTRY_NAME_CHARS.contains(&registry.len()) {
        return Err(LoginServerError::Length {
            registry: registry.to_owned(),
            length: registry.len(),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login_server(text: &str) -> Result<LoginServer, LoginServerError> {
        LoginServer::new(ServerName::parse(text).unwrap())
    }

    #[test]
    fn endpoints_are_derived_in_every_cloud() {
        let region: Region = "eastus".parse().unwrap();
        for (text, data) in [
            ("contoso.azurecr.io", "contoso.eastus.data.azurecr.io"),
            ("contoso.azurecr.cn", "contoso.eastus.data.azurecr.cn"),
            ("contoso.azurecr.us", "contoso.eastus.data.azurecr.us"),
        ] {
            assert_eq!(login_server(text).unwrap().data_endpoint(&region).as_str(), data);
        }
        let regional = login_server("contoso.azurecr.io").unwrap().regional(&region);
        assert_eq!(regional.as_str(), "contoso.eastus.geo.azurecr.io");
    }

    #[test]
    fn a_domain_name_label_is_told_by_its_dash() {
        let labelled = login_server("contosoacrregistry-e7ggejfuhzhgedc8.azurecr.io").unwrap();
        assert!(labelled.has_name_label());
        assert!(!login_server("contoso.azurecr.io").unwrap().has_name_label());
        assert!(matches!(
            login_server("contoso-a-b.azurecr.io"),
            Err(LoginServerError::Label { .. })
        ));
        assert!(matches!(
            login_server("abc-e7ggejfuhzhgedc8.azurecr.io"),
            Err(LoginServerError::Length { length: 3, .. })
        ));
    }

    #[test]
    fn what_is_no_login_server_says_what_it_is() {
        use LoginServerError as E;
        assert!(matches!(
            login_server("abcd.azurecr.io"),
            Err(E::Length { length: 4, .. })
        ));
        assert!(login_server("abcde.azurecr.io").is_ok());
        assert!(login_server(&format!("{}.azurecr.io", "a".repeat(50))).is_ok());
        assert!(matches!(
            login_server(&format!("{}.azurecr.io", "a".repeat(51))),
            Err(E::Length { length: 51, .. })
        ));
        assert!(matches!(login_server("azurecr.io"), Err(E::BareDomain { .. })));
        assert!(matches!(
            login_server("contoso.eastus.data.azurecr.io"),
            Err(E::DataEndpoint { .. })
        ));
        assert!(matches!(
            login_server("contoso.eastus.geo.azurecr.io"),
            Err(E::Regional { .. })
        ));
        assert!(matches!(
            login_server("contoso.privatelink.azurecr.io"),
            Err(E::PrivateLink { .. })
        ));
        assert!(matches!(
            login_server("a.b.azurecr.io"),
            Err(E::TooDeep { labels: 2, .. })
        ));
        assert!(matches!(login_server("mcr.microsoft.com"), Err(E::Mcr { .. })));
        assert!(matches!(
            login_server("contoso.azurecr.io.evil.example"),
            Err(E::UnknownDomain { .. })
        ));
        assert!(matches!(
            login_server("contosoazurecr.io"),
            Err(E::UnknownDomain { .. })
        ));
    }
}
