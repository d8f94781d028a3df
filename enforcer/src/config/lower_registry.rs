//! `[[registry]]`: one registry and its endpoints.

use std::ops::Range;
use std::path::Path;

use super::claim::{Claim, Claimed, claim};
use super::document::{Section, Text};
use super::endpoints_file;
use super::login_server::{LoginServer, LoginServerError, MCR_DATA_SUFFIX, MCR_LOGIN_SERVER};
use super::lower::{Context, Lowered};
use super::problem::{Source, Span, quote};
use super::report::Report;
use super::risk::Risk;
use super::{ENDPOINTS_BYTES_MAX, Registry, RuleKind, lower_regions, lower_tags, name, prefix};
use crate::names::{DomainPattern, ServerName};

/// The keys of which a registry has exactly one.
const WHICH: [&str; 3] = ["login_server", "endpoints", "kind"];

pub(super) fn lower(section: &Section<'_>, context: &mut Context<'_>) -> Option<Lowered> {
    let mut risk = Risk::read(section, context.report);
    let private_link = section
        .texts("private_link", "[\"10.20.0.0/16\"]", context.report)
        .map(|texts| prefix::read_private_link(&texts, context.report))
        .unwrap_or_default();
    let kind = match which(section, context.report) {
        Some("login_server") => by_login_server(section, context).map(RuleKind::Registry),
        Some("endpoints") => by_endpoints(section, &mut risk, context).map(RuleKind::Registry),
        Some("kind") => by_kind(section, context),
        _ => None,
    };
    lower_tags::refuse_file(section, "sanity_tag", context.report);
    let sanity_tags = lower_tags::read(section, "sanity_tag", context).unwrap_or_default();
    Some(Lowered {
        kind: kind?,
        private_link,
        sanity_tags: sanity_tags.into_iter().map(|(tag, _)| tag).collect(),
        accepted_risk: risk.finish(context.report),
    })
}

/// Which of the keys in [`WHICH`] the registry has.
fn which(section: &Section<'_>, report: &mut Report) -> Option<&'static str> {
    let present: Vec<&'static str> = WHICH
        .into_iter()
        .filter(|key| section.get(key).is_some())
        .collect();
    match present[..] {
        [one] => Some(one),
        [] => {
            let problem = report.error(
                &section.span,
                "this `[[registry]]` does not say which registry it is",
            );
            report.push_missing(problem.hint(
                "write `login_server = \"contoso.azurecr.io\"`, `endpoints = \"FILE\"` or `kind = \"mcr\"`",
            ));
            None
        }
        [first, second, ..] => {
            let problem = report.error(
                &section.key_span(second),
                format!("`{first}` and `{second}` say two things about which registry this is"),
            );
            let related = report.span(&section.key_span(first));
            report.push(
                problem
                    .related(related, "the other one")
                    .hint("keep one of them; write two `[[registry]]` for two registries"),
            );
            None
        }
    }
}

fn by_kind(section: &Section<'_>, context: &mut Context<'_>) -> Option<RuleKind> {
    let kind = section.choice("kind", &[("mcr", RuleKindChoice::Mcr)], context.report)?;
    for key in ["data_regions", "regional_login_servers"] {
        refuse(
            section,
            key,
            "has no meaning with `kind = \"mcr\"`",
            "take it away: all regions are meant",
            context.report,
        );
    }
    match kind {
        RuleKindChoice::Mcr => {
            let mut mcr = claim(Claimed::Mcr, &section.key_span("kind"), context.report);
            mcr.implied
                .extend(ServerName::parse(MCR_LOGIN_SERVER).map(Claimed::Name));
            let data = ServerName::parse(MCR_DATA_SUFFIX).map(DomainPattern::below);
            mcr.implied.extend(data.map(Claimed::Pattern));
            context.claims.push(mcr);
            Some(RuleKind::Mcr)
        }
    }
}

#[derive(Clone, Copy)]
enum RuleKindChoice {
    Mcr,
}

fn by_login_server(section: &Section<'_>, context: &mut Context<'_>) -> Option<Registry> {
    let text = section.text("login_server", "\"contoso.azurecr.io\"", context.report);
    let login_server = text.as_ref().and_then(|text| login_server(text, context.report));
    let data_regions = section.texts("data_regions", "[\"eastus\"]", context.report);
    let has_data_regions = data_regions.as_ref().is_some_and(|texts| !texts.is_empty());
    let data_regions = lower_regions::list(data_regions.unwrap_or_default(), context.report);
    let regional = lower_regions::regional_login_servers(section, &data_regions, context.report);
    let (text, login_server) = (text?, login_server?);
    if login_server.has_name_label() {
        for key in ["data_regions", "regional_login_servers"] {
            refuse(
                section,
                key,
                "can not be derived for a login server with a domain name label",
                "take them from `az acr show-endpoints`: write its output to a file, and `endpoints = \"FILE\"` here",
                context.report,
            );
        }
    }
    if regional.is_some() && !login_server.cloud().has_regional_login_servers() {
        let domain = login_server.cloud().registry_domain();
        refuse(
            section,
            "regional_login_servers",
            &format!("are not known under `{domain}`"),
            "take them from `az acr show-endpoints`: write its output to a file, and `endpoints = \"FILE\"` here",
            context.report,
        );
    }
    if !has_data_regions {
        let hint = if login_server.has_name_label() {
            "layers would come from shared storage (`*.blob.core.windows.net`); enable dedicated data endpoints, \
             then write the output of `az acr show-endpoints` to a file, and `endpoints = \"FILE\"` here"
        } else {
            "layers would come from shared storage (`*.blob.core.windows.net`); enable dedicated data endpoints \
             on the registry and name its regions: `data_regions = [\"eastus\"]`"
        };
        warn_without_data_endpoints(&login_server, &text.span, hint, context.report);
    }
    let regional_endpoints = regional
        .unwrap_or_default()
        .iter()
        .map(|region| login_server.regional(region))
        .collect();
    let registry = Registry {
        login_server,
        data_regions,
        data_endpoints: Vec::new(),
        data_patterns: Vec::new(),
        regional_endpoints,
    };
    let span = context.report.span(&text.span);
    context.claims.push(claim_of(&registry, span));
    Some(registry)
}

fn by_endpoints(section: &Section<'_>, risk: &mut Risk, context: &mut Context<'_>) -> Option<Registry> {
    for key in ["data_regions", "regional_login_servers"] {
        refuse(
            section,
            key,
            "can not be added to an `endpoints` file",
            "the file lists them: take the key away",
            context.report,
        );
    }
    let text = section.text("endpoints", "\"contoso-endpoints.json\"", context.report)?;
    let path = Path::new(text.value);
    let content = match context.files.read(path, ENDPOINTS_BYTES_MAX) {
        Ok(content) => content,
        Err(error) => {
            let problem = context
                .report
                .error(&text.span, format!("can not read {}: {error}", quote(text.value)));
            context.report.push(problem.hint(
                "write the file with `az acr show-endpoints --name REGISTRY > FILE`; its path is relative to this file's folder",
            ));
            return None;
        }
    };
    let shown = context.folder.join(path);
    let source = Source::new(&shown, &content);
    let listed = endpoints_file::read(&source, risk, context.report)?;
    if listed.is_without_data_endpoints {
        let hint = "layers would come from shared storage (`*.blob.core.windows.net`); enable dedicated data endpoints \
                    on the registry, and write the file anew";
        warn_without_data_endpoints(&listed.login_server, &text.span, hint, context.report);
    }
    let registry = Registry {
        login_server: listed.login_server,
        data_regions: Vec::new(),
        data_endpoints: listed.data_endpoints,
        data_patterns: listed.data_patterns,
        regional_endpoints: listed.regional_endpoints,
    };
    context.claims.push(claim_of(&registry, listed.login_server_span));
    Some(registry)
}

/// The claim of a registry, with the names of all its endpoints.
fn claim_of(registry: &Registry, span: Span) -> Claim {
    let login_server = &registry.login_server;
    let derived = registry
        .data_regions
        .iter()
        .map(|region| login_server.data_endpoint(region));
    let names = std::iter::once(login_server.name().clone())
        .chain(derived)
        .chain(registry.data_endpoints.iter().cloned())
        .chain(registry.regional_endpoints.iter().cloned());
    Claim {
        what: Claimed::Registry(login_server.clone()),
        span,
        implied: names.map(Claimed::Name).collect(),
    }
}

fn warn_without_data_endpoints(
    login_server: &LoginServer,
    span: &Range<usize>,
    hint: &str,
    report: &mut Report,
) {
    let message = format!("`{login_server}` has no data endpoint here: pulls will be denied");
    let problem = report.warning(span, message);
    report.push(problem.hint(hint));
}

fn refuse(section: &Section<'_>, key: &str, why: &str, hint: &str, report: &mut Report) {
    if section.get(key).is_some() {
        let problem = report.error(&section.key_span(key), format!("`{key}` {why}"));
        report.push(problem.hint(hint));
    }
}

fn login_server(text: &Text<'_>, report: &mut Report) -> Option<LoginServer> {
    if !text.value.contains('.') && !text.value.is_empty() {
        let problem = report.error(&text.span, format!("{} is not a login server", quote(text.value)));
        report.push(problem.hint(format!("write the whole name, as in `{}.azurecr.io`", text.value)));
        return None;
    }
    if text.value.starts_with("*.") {
        let problem = report.error(
            &text.span,
            format!("{} is not one login server", quote(text.value)),
        );
        report.push(problem.hint("write one `[[registry]]` for each registry"));
        return None;
    }
    let name = name::read(text, report)?;
    match LoginServer::new(name) {
        Ok(login_server) => Some(login_server),
        Err(error) => {
            let problem = report.error(&text.span, error.to_string());
            report.push(problem.hint(login_server_hint(&error)));
            None
        }
    }
}

fn login_server_hint(error: &LoginServerError) -> String {
    match error {
        LoginServerError::UnknownDomain { name } => {
            format!("another host is allowed with `[[allow]] name = \"{name}\"`")
        }
        LoginServerError::Mcr { .. } => "write `kind = \"mcr\"` instead".into(),
        LoginServerError::BareDomain { name } => {
            format!("put the registry's name before it, as in `contoso.{name}`")
        }
        LoginServerError::DataEndpoint {
            registry,
            region,
            domain,
        } => format!("write `login_server = \"{registry}.{domain}\"` and `data_regions = [\"{region}\"]`"),
        LoginServerError::Regional {
            registry,
            region,
            domain,
        } => {
            format!(
                "write `login_server = \"{registry}.{domain}\"` and `regional_login_servers = [\"{region}\"]`"
            )
        }
        LoginServerError::PrivateLink { registry, domain } => format!(
            "write `login_server = \"{registry}.{domain}\"`, and `private_link = [\"PREFIX\"]` for where its answers lie"
        ),
        LoginServerError::TooDeep { name, domain, .. } => {
            let label = name.as_str().strip_suffix(domain).unwrap_or_default();
            let label = label.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
            format!("a login server is `<registry>.{domain}`; `{label}.{domain}`?")
        }
        LoginServerError::Length { .. } | LoginServerError::Label { .. } => {
            "look the login server up with `az acr show --name REGISTRY --query loginServer`".into()
        }
    }
}
