//! The vendors of the demonstration: simulated on ports of this machine, where business goes on.

use std::sync::Arc;
use std::time::Duration;

use crate::config::{Config, RegisteredApp};
use crate::demo::business::Business;
use crate::demo::{hubspot, salesforce};
use crate::error::Result;
use crate::service::App;

/// A deal changes at each vendor after every pause.
const PAUSE: Duration = Duration::from_secs(3);

/// They run as long as this is kept.
pub(super) struct Vendors {
    hubspot: hubspot::Running,
    salesforce: salesforce::Running,
    _business: [Business; 2],
}

impl Vendors {
    /// Starts them and leads their connectors there, unless the operator led those elsewhere.
    pub(super) async fn start(config: &mut Config) -> Result<Self> {
        let hubspot = hubspot::start(hubspot::Options::default()).await?;
        let salesforce = salesforce::start(salesforce::Options::default()).await?;
        let app = |id: &str, secret: &str| RegisteredApp {
            client_id: id.into(),
            client_secret: Some(secret.into()),
        };
        for (connector, url, app) in [
            ("hubspot", &hubspot.base_url, app(hubspot::CLIENT_ID, hubspot::CLIENT_SECRET)),
            ("salesforce", &salesforce.base_url, app(salesforce::CLIENT_ID, salesforce::CLIENT_SECRET)),
        ] {
            config.connector_base.entry(connector.into()).or_insert_with(|| url.clone());
            config.oauth.entry(connector.into()).or_insert(app);
        }
        let business = [hubspot.control.keep_busy(PAUSE), salesforce.control.keep_busy(PAUSE)];
        Ok(Vendors { hubspot, salesforce, _business: business })
    }

    /// Registers this server with them, as browsers reach it.
    pub(super) fn register(&self, public_url: &str) {
        self.hubspot.control.register(hubspot::RegisteredApp {
            client_id: hubspot::CLIENT_ID.into(),
            client_secret: hubspot::CLIENT_SECRET.into(),
            redirect_uris: vec![format!("{public_url}/oauth/callback/hubspot")],
        });
        self.salesforce.control.register(salesforce::RegisteredApp {
            client_id: salesforce::CLIENT_ID.into(),
            client_secret: salesforce::CLIENT_SECRET.into(),
            redirect_uris: vec![format!("{public_url}/oauth/callback/salesforce")],
        });
    }

    /// Links both and syncs what has no namesake in the other sources of the demonstration.
    pub(super) async fn set_up(&self, app: &Arc<App>) -> Result<()> {
        let token = [("token", hubspot::PRIVATE_TOKEN)];
        app.set_up_vendor("hubspot", &token, &["deal", "company", "contact"]).await?;
        let client = [("client_id", salesforce::CLIENT_ID), ("client_secret", salesforce::CLIENT_SECRET)];
        app.set_up_vendor("salesforce", &client, &[]).await
    }
}
