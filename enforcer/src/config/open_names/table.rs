//! The table: suffixes and hosts under which anybody can open an account.
//!
//! To extend it, add a line to [`SUFFIXES`] when accounts are names *below* the suffix (`attacker.blob.core.windows.net`),
//! to [`HOSTS`] when they are paths on one host that all tenants share (`ghcr.io/attacker`). A `*` label stands for
//! any one label, such as a region. Patterns at **or above** an entry are found as well, so entries are best as deep
//! as the accounts are. Top-level domains and public suffixes need no entry: the public suffix list is consulted.

/// A place that anybody can have a part of.
#[derive(Debug, Eq, PartialEq)]
pub struct OpenName {
    /// The suffix or the host, without `*.` before it.
    pub name: &'static str,
    /// What lives there, in the plural.
    pub what: &'static str,
    /// What to use instead.
    pub instead: Instead,
}

/// What serves the same purpose without the risk.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Instead {
    /// Dedicated data endpoints, for blobs of a registry.
    DataEndpoints,
    /// A `[[registry]]` for each registry.
    Registries,
    /// The names of one's own accounts.
    OwnNames,
    /// Nothing: all tenants share one host name.
    Nothing,
}

const fn blobs(name: &'static str) -> OpenName {
    open(name, "Azure storage accounts", Instead::DataEndpoints)
}

const fn registries(name: &'static str) -> OpenName {
    open(name, "container registries", Instead::Registries)
}

const fn names(name: &'static str, what: &'static str) -> OpenName {
    open(name, what, Instead::OwnNames)
}

const fn host(name: &'static str, what: &'static str) -> OpenName {
    open(name, what, Instead::Nothing)
}

const fn open(name: &'static str, what: &'static str, instead: Instead) -> OpenName {
    OpenName { name, what, instead }
}

/// Suffixes with an account at each name below.
pub const SUFFIXES: &[OpenName] = &[
    // Azure, public cloud.
    blobs("blob.core.windows.net"),
    blobs("*.blob.storage.azure.net"),
    blobs("privatelink.blob.core.windows.net"),
    names("privatelink.dfs.core.windows.net", "Azure storage accounts"),
    names("dfs.core.windows.net", "Azure storage accounts"),
    names("file.core.windows.net", "Azure storage accounts"),
    names("queue.core.windows.net", "Azure storage accounts"),
    names("table.core.windows.net", "Azure storage accounts"),
    names("*.web.core.windows.net", "Azure storage accounts"),
    names("*.dfs.storage.azure.net", "Azure storage accounts"),
    names("*.file.storage.azure.net", "Azure storage accounts"),
    names("*.queue.storage.azure.net", "Azure storage accounts"),
    names("*.table.storage.azure.net", "Azure storage accounts"),
    names("*.web.storage.azure.net", "Azure storage accounts"),
    registries("azurecr.io"),
    registries("privatelink.azurecr.io"),
    registries("*.data.azurecr.io"),
    registries("*.geo.azurecr.io"),
    names("azureedge.net", "Azure CDN endpoints"),
    names("azurefd.net", "Azure Front Door endpoints"),
    names("*.azurefd.net", "Azure Front Door endpoints"),
    names("azurewebsites.net", "Azure web apps"),
    names("scm.azurewebsites.net", "Azure web apps"),
    names("*.azurewebsites.net", "Azure web apps"),
    names("azurestaticapps.net", "Azure static web apps"),
    names("*.azurestaticapps.net", "Azure static web apps"),
    names("*.azurecontainerapps.io", "Azure container apps"),
    names("*.azurecontainer.io", "Azure container instances"),
    names("*.azmk8s.io", "Azure Kubernetes clusters"),
    names("cloudapp.net", "Azure cloud services"),
    names("*.cloudapp.azure.com", "Azure virtual machines"),
    names("trafficmanager.net", "Azure Traffic Manager profiles"),
    names("azure-api.net", "Azure API gateways"),
    names("azure-devices.net", "Azure IoT hubs"),
    names("servicebus.windows.net", "Azure Service Bus namespaces"),
    names("vault.azure.net", "Azure key vaults"),
    names("documents.azure.com", "Azure Cosmos DB accounts"),
    names("database.windows.net", "Azure SQL servers"),
    names("redis.cache.windows.net", "Azure caches"),
    names("search.windows.net", "Azure search services"),
    names("*.kusto.windows.net", "Azure Data Explorer clusters"),
    names("azurehdinsight.net", "Azure HDInsight clusters"),
    names("*.batch.azure.com", "Azure Batch accounts"),
    names("*.logic.azure.com", "Azure logic apps"),
    names("*.eventgrid.azure.net", "Azure Event Grid topics"),
    names("service.signalr.net", "Azure SignalR services"),
    names("webpubsub.azure.com", "Azure Web PubSub services"),
    names("openai.azure.com", "Azure AI accounts"),
    names("cognitiveservices.azure.com", "Azure AI accounts"),
    names("azconfig.io", "Azure App Configuration stores"),
    names("visualstudio.com", "Azure DevOps organisations"),
    names("pkgs.visualstudio.com", "Azure DevOps organisations"),
    names("sharepoint.com", "SharePoint tenants"),
    // Azure operated by 21Vianet.
    blobs("blob.core.chinacloudapi.cn"),
    blobs("privatelink.blob.core.chinacloudapi.cn"),
    names("dfs.core.chinacloudapi.cn", "Azure storage accounts"),
    names("file.core.chinacloudapi.cn", "Azure storage accounts"),
    names("queue.core.chinacloudapi.cn", "Azure storage accounts"),
    names("table.core.chinacloudapi.cn", "Azure storage accounts"),
    names("*.web.core.chinacloudapi.cn", "Azure storage accounts"),
    registries("azurecr.cn"),
    registries("privatelink.azurecr.cn"),
    registries("*.data.azurecr.cn"),
    registries("*.geo.azurecr.cn"),
    names("azureedge.cn", "Azure CDN endpoints"),
    names("chinacloudsites.cn", "Azure web apps"),
    names("chinacloudapp.cn", "Azure cloud services"),
    names("*.cloudapp.chinacloudapi.cn", "Azure virtual machines"),
    names("trafficmanager.cn", "Azure Traffic Manager profiles"),
    names("azure-devices.cn", "Azure IoT hubs"),
    names("servicebus.chinacloudapi.cn", "Azure Service Bus namespaces"),
    names("vault.azure.cn", "Azure key vaults"),
    names("documents.azure.cn", "Azure Cosmos DB accounts"),
    names("database.chinacloudapi.cn", "Azure SQL servers"),
    // Azure Government.
    blobs("blob.core.usgovcloudapi.net"),
    blobs("privatelink.blob.core.usgovcloudapi.net"),
    names("dfs.core.usgovcloudapi.net", "Azure storage accounts"),
    names("file.core.usgovcloudapi.net", "Azure storage accounts"),
    names("queue.core.usgovcloudapi.net", "Azure storage accounts"),
    names("table.core.usgovcloudapi.net", "Azure storage accounts"),
    names("*.web.core.usgovcloudapi.net", "Azure storage accounts"),
    registries("azurecr.us"),
    registries("privatelink.azurecr.us"),
    registries("*.data.azurecr.us"),
    registries("*.geo.azurecr.us"),
    names("azureedge.us", "Azure CDN endpoints"),
    names("azurefd.us", "Azure Front Door endpoints"),
    names("azurewebsites.us", "Azure web apps"),
    names("*.cloudapp.usgovcloudapi.net", "Azure virtual machines"),
    names("usgovcloudapp.net", "Azure cloud services"),
    names("usgovtrafficmanager.net", "Azure Traffic Manager profiles"),
    names("azure-devices.us", "Azure IoT hubs"),
    names("servicebus.usgovcloudapi.net", "Azure Service Bus namespaces"),
    names("vault.usgovcloudapi.net", "Azure key vaults"),
    names("documents.azure.us", "Azure Cosmos DB accounts"),
    names("database.usgovcloudapi.net", "Azure SQL servers"),
    // Amazon Web Services. `*.amazonaws.com` has regions and the older `s3-us-west-2` alike.
    names("*.amazonaws.com", "AWS services of every tenant"),
    names("s3.amazonaws.com", "S3 buckets"),
    names("s3.*.amazonaws.com", "S3 buckets"),
    names("s3.dualstack.*.amazonaws.com", "S3 buckets"),
    names("s3-website.*.amazonaws.com", "S3 buckets"),
    names("s3-accelerate.amazonaws.com", "S3 buckets"),
    names("s3-accesspoint.*.amazonaws.com", "S3 access points"),
    names("dkr.ecr.*.amazonaws.com", "container registries"),
    names("execute-api.*.amazonaws.com", "API gateways"),
    names("*.elb.amazonaws.com", "load balancers"),
    names("elb.*.amazonaws.com", "load balancers"),
    names("*.compute.amazonaws.com", "virtual machines"),
    names("compute-1.amazonaws.com", "virtual machines"),
    names("lambda-url.*.on.aws", "functions"),
    names("dkr-ecr.*.on.aws", "container registries"),
    names("cloudfront.net", "CloudFront distributions"),
    names("*.elasticbeanstalk.com", "web applications"),
    names("*.awsapprunner.com", "web applications"),
    names("amplifyapp.com", "web applications"),
    names("awsglobalaccelerator.com", "accelerators"),
    names("*.amazonaws.com.cn", "AWS services of every tenant"),
    names("s3.*.amazonaws.com.cn", "S3 buckets"),
    names("dkr.ecr.*.amazonaws.com.cn", "container registries"),
    // Google Cloud.
    names("storage.googleapis.com", "storage buckets"),
    names("pkg.dev", "container registries"),
    names("gcr.io", "container registries"),
    names("run.app", "web applications"),
    names("*.run.app", "web applications"),
    names("appspot.com", "web applications"),
    names("*.r.appspot.com", "web applications"),
    names("cloudfunctions.net", "functions"),
    names("web.app", "web applications"),
    names("firebaseapp.com", "web applications"),
    names("firebaseio.com", "databases"),
    // Cloudflare.
    names("r2.cloudflarestorage.com", "storage buckets"),
    names("*.r2.cloudflarestorage.com", "storage buckets"),
    names("r2.dev", "storage buckets"),
    names("workers.dev", "functions"),
    names("pages.dev", "web sites"),
    names("trycloudflare.com", "tunnels"),
    // Other registries, object stores and content networks.
    names("jfrog.io", "registries"),
    names("cloudsmith.io", "registries"),
    names("ocir.io", "container registries"),
    names("compat.objectstorage.*.oraclecloud.com", "storage buckets"),
    names("*.digitaloceanspaces.com", "storage buckets"),
    names("*.linodeobjects.com", "storage buckets"),
    names("s3.*.backblazeb2.com", "storage buckets"),
    names("s3.*.wasabisys.com", "storage buckets"),
    names("*.aliyuncs.com", "storage buckets and registries"),
    names("*.myqcloud.com", "storage buckets"),
    names("global.ssl.fastly.net", "content network services"),
    names("fastly.net", "content network services"),
    names("akamaized.net", "content network services"),
    names("edgekey.net", "content network services"),
    names("github.io", "web sites"),
    names("githubusercontent.com", "files of every account"),
    names("gitlab.io", "web sites"),
    names("herokuapp.com", "web applications"),
    names("vercel.app", "web applications"),
    names("netlify.app", "web sites"),
    names("fly.dev", "web applications"),
    names("onrender.com", "web applications"),
    names("ngrok.io", "tunnels"),
    names("ngrok.app", "tunnels"),
    names("ngrok-free.app", "tunnels"),
];

/// Hosts on which accounts are paths: a server name can not tell one's own from another's.
pub const HOSTS: &[OpenName] = &[
    host("docker.io", "repositories"),
    host("index.docker.io", "repositories"),
    host("registry-1.docker.io", "repositories"),
    host("hub.docker.com", "repositories"),
    host("registry.hub.docker.com", "repositories"),
    host("ghcr.io", "repositories"),
    host("quay.io", "repositories"),
    host("registry.gitlab.com", "repositories"),
    host("public.ecr.aws", "repositories"),
    host("gcr.io", "repositories"),
    host("*.gcr.io", "repositories"),
    host("*.pkg.dev", "repositories"),
    host("github.com", "repositories"),
    host("api.github.com", "repositories"),
    host("gist.github.com", "gists"),
    host("uploads.github.com", "repositories"),
    host("gitlab.com", "repositories"),
    host("bitbucket.org", "repositories"),
    host("dev.azure.com", "Azure DevOps organisations"),
    host("pkgs.dev.azure.com", "Azure DevOps organisations"),
    host("s3.amazonaws.com", "S3 buckets"),
    host("s3.*.amazonaws.com", "S3 buckets"),
    host("s3.dualstack.*.amazonaws.com", "S3 buckets"),
    host("s3.*.amazonaws.com.cn", "S3 buckets"),
    host("storage.googleapis.com", "storage buckets"),
    host("www.googleapis.com", "Google services"),
];
