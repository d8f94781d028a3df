//! The clouds that have container registries, and what their names end in.

use crate::names::ServerName;

/// A cloud with its own registry domain.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Cloud {
    /// Azure, `azurecr.io`.
    Public,
    /// Azure operated by 21Vianet, `azurecr.cn`.
    China,
    /// Azure Government, `azurecr.us`.
    UsGovernment,
}

impl Cloud {
    /// Every cloud.
    pub const ALL: [Self; 3] = [Self::Public, Self::China, Self::UsGovernment];

    /// The domain that its login servers are under; also the bare name on their certificate.
    #[must_use]
    pub fn registry_domain(self) -> &'static str {
        match self {
            Self::Public => "azurecr.io",
            Self::China => "azurecr.cn",
            Self::UsGovernment => "azurecr.us",
        }
    }

    /// The cloud whose registry domain `name` is below.
    #[must_use]
    pub fn of(name: &ServerName) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|cloud| name.is_below(cloud.registry_domain()))
    }

    /// Whether the form of its regional login servers is documented.
    #[must_use]
    pub fn has_regional_login_servers(self) -> bool {
        self == Self::Public
    }
}
