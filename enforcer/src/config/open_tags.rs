//! Who is behind the addresses of a service tag: as a rule everybody who has an account with the service.

use super::tag_file::service_of;

/// Who can put something behind the addresses of a service tag.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Tenants {
    /// Its owner alone: what is served there is the owner's.
    Owner,
    /// Everybody who has a container registry.
    Registries,
    /// Everybody who has an account.
    Anybody,
}

/// Tags, and services with all their regions, behind which there is nobody but Microsoft. All others count as open: new
/// services come and go, and nearly all of them are there to hold what customers put into them.
const OWNERS: [&str; 2] = ["MicrosoftContainerRegistry", "AzureFrontDoor.FirstParty"];

/// Who is behind the service tag `name`.
#[must_use]
pub fn tenants(name: &str) -> Tenants {
    let is = |known: &&str| known.eq_ignore_ascii_case(name) || known.eq_ignore_ascii_case(service_of(name));
    if OWNERS.iter().any(is) {
        Tenants::Owner
    } else if service_of(name).eq_ignore_ascii_case("AzureContainerRegistry") {
        Tenants::Registries
    } else {
        Tenants::Anybody
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_open_unless_it_is_known_not_to_be() {
        for (name, expected) in [
            ("MicrosoftContainerRegistry", Tenants::Owner),
            ("microsoftcontainerregistry.westeurope", Tenants::Owner),
            ("AzureFrontDoor.FirstParty", Tenants::Owner),
            ("AzureFrontDoor.Frontend", Tenants::Anybody),
            ("AzureContainerRegistry", Tenants::Registries),
            ("azurecontainerregistry.AustraliaEast", Tenants::Registries),
            ("AzureContainerRegistryX", Tenants::Anybody),
            ("Storage.WestEurope", Tenants::Anybody),
            ("AzureCloud", Tenants::Anybody),
        ] {
            assert_eq!(tenants(name), expected, "{name}");
        }
    }
}
