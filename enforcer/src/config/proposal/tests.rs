use std::path::Path;

use super::super::samples::{NoFiles, parsed};
use super::super::{Severity, parse};
use super::*;
use crate::endpoints::{Target, expand};

fn names(texts: &[&str]) -> BTreeSet<ServerName> {
    texts
        .iter()
        .map(|text| ServerName::parse(text).unwrap())
        .collect()
}

fn rules(text: &str) -> Vec<Rule> {
    parsed("test.toml", text).rules
}

fn shown(proposals: &[Proposal]) -> Vec<String> {
    let shown = |proposal: &Proposal| proposal.lines.join(" ");
    proposals.iter().map(shown).collect()
}

#[test]
fn the_endpoints_of_a_registry_become_one_rule() {
    let proposed = propose(
        &names(&[
            "contoso.azurecr.io",
            "contoso.westus.data.azurecr.io",
            "contoso.eastus.data.azurecr.io",
            "contoso.eastus.geo.azurecr.io",
            "azurecr.io",
            "fabrikam.chinaeast2.data.azurecr.cn",
            "fabrikam.azurecr.us",
        ]),
        &[],
    );
    assert_eq!(
        shown(&proposed),
        [
            "[[registry]] login_server = \"contoso.azurecr.io\" data_regions = [\"eastus\", \"westus\"] \
             regional_login_servers = [\"eastus\"]",
            "[[registry]] login_server = \"fabrikam.azurecr.cn\" data_regions = [\"chinaeast2\"]",
            "[[registry]] login_server = \"fabrikam.azurecr.us\"",
        ]
    );
}

#[test]
fn what_can_not_be_derived_is_named_itself() {
    let labelled = "contosoacrregistry-e7ggejfuhzhgedc8.azurecr.io";
    let data = "contosoacrregistry-e7ggejfuhzhgedc8.eastus.data.azurecr.io";
    let proposed = propose(
        &names(&[labelled, data, "abc.eastus.geo.azurecr.cn", "a.example.com"]),
        &[],
    );
    assert_eq!(
        shown(&proposed),
        [
            format!("[[registry]] login_server = \"{labelled}\""),
            "[[allow]] name = \"a.example.com\"".to_owned(),
            "[[allow]] name = \"abc.eastus.geo.azurecr.cn\"".to_owned(),
            format!("[[allow]] name = \"{data}\""),
        ]
    );
    assert!(proposed[0].remarks[0].contains("az acr show-endpoints"));
    assert!(proposed[3].remarks[0].contains("az acr show-endpoints"));
}

#[test]
fn a_registry_with_a_rule_is_extended_there() {
    let rules = rules("[[registry]]\nlogin_server = \"contoso.azurecr.io\"\ndata_regions = [\"westus\"]\n");
    let proposed = propose(&names(&["contoso.eastus.data.azurecr.io"]), &rules);
    assert_eq!(
        shown(&proposed),
        ["[[allow]] name = \"contoso.eastus.data.azurecr.io\""]
    );
    let change = proposed[0].change.as_ref().unwrap();
    assert_eq!(change.place.line, 1);
    assert_eq!(change.line, "data_regions = [\"eastus\", \"westus\"]");
}

#[test]
fn the_microsoft_container_registry_is_known() {
    let wanted = names(&["mcr.microsoft.com", "eastus.data.mcr.microsoft.com"]);
    let proposed = propose(&wanted, &[]);
    assert_eq!(
        shown(&proposed),
        [
            "[[registry]] kind = \"mcr\"",
            "[[allow]] name = \"eastus.data.mcr.microsoft.com\""
        ]
    );
    let beside = propose(&wanted, &rules("[[registry]]\nkind = \"mcr\"\n"));
    assert_eq!(
        shown(&beside),
        ["[[allow]] name = \"eastus.data.mcr.microsoft.com\""]
    );
}

#[test]
fn what_anybody_can_have_is_marked() {
    let risk_of = |name| Risk::of(&ServerName::parse(name).unwrap());
    for (name, is_shared, is_blob_storage) in [
        ("acct.blob.core.windows.net", false, true),
        ("acct.z12.blob.storage.azure.net", false, true),
        ("acct.blob.core.usgovcloudapi.net", false, true),
        ("ghcr.io", true, false),
        ("hub.azure-devices.net", false, false),
    ] {
        let risk = risk_of(name).unwrap_or_else(|| panic!("{name}"));
        assert_eq!(
            (risk.is_shared, risk.is_blob_storage()),
            (is_shared, is_blob_storage),
            "{name}"
        );
    }
    for name in [
        "contoso.azurecr.io",
        "contoso.eastus.data.azurecr.io",
        "mcr.microsoft.com",
        "a.example.com",
    ] {
        assert!(risk_of(name).is_none(), "{name}");
    }
    let proposed = propose(&names(&["ghcr.io"]), &[]);
    assert!(proposed[0].lines[2].starts_with("accept_exfiltration_risk = "));
}

#[test]
fn whatever_is_proposed_is_accepted_and_grants_the_names() {
    let known = "[[registry]]\nlogin_server = \"contoso.azurecr.io\"\n[[registry]]\nkind = \"mcr\"\n";
    let all = names(&[
        "contoso.eastus.data.azurecr.io",
        "contoso.eastus.geo.azurecr.io",
        "fabrikam.eastus.data.azurecr.io",
        "ab.azurecr.io",
        "a.b.c.azurecr.cn",
        "contoso.privatelink.azurecr.io",
        "azurecr.us",
        "x-y.eastus.data.azurecr.io",
        "eastus.data.mcr.microsoft.com",
        "data.mcr.microsoft.com",
        "acct.blob.core.windows.net",
        "ghcr.io",
        "s3.eu-west-1.amazonaws.com",
        "a.example.com",
    ]);
    let mut text = known.to_owned();
    for proposal in propose(&all, &rules(known)) {
        text.push_str(&format!("\n{}\n", proposal.lines.join("\n")));
    }
    let parsed = parse(Path::new("test.toml"), &text, &NoFiles);
    let problems: Vec<_> = parsed
        .problems
        .iter()
        .map(|problem| problem.render(false))
        .collect();
    assert_eq!(parsed.count(Severity::Error), 0, "{text}\n{problems:#?}");
    let granted: BTreeSet<_> = expand(&parsed.config.unwrap())
        .into_iter()
        .filter_map(|endpoint| match endpoint.target {
            Target::Name(name) => Some(name),
            _ => None,
        })
        .collect();
    assert!(all.is_subset(&granted), "{all:?} {granted:?}");
}
