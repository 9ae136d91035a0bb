// Writes the state that cognito-local starts with into .cognito of the current
// directory: one pool, its app clients, and one user for each way to sign in.
import { mkdirSync, writeFileSync } from "node:fs";

const pool = "ap-southeast-1_Local01";
const date = "2026-01-01T00:00:00.000Z";
const totp = { Secret: "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP", Verified: true };
const sms = [{ DeliveryMedium: "SMS", AttributeName: "phone_number" }];

const client = (id, minutes) => [id, {
  ClientId: id, ClientName: id, UserPoolId: pool, CreationDate: date, LastModifiedDate: date,
  AllowedOAuthFlows: ["code"], AllowedOAuthScopes: ["openid"],
  CallbackURLs: [8976, 8977, 8978].map((port) => `http://127.0.0.1:${port}/callback`),
  IdTokenValidity: minutes, AccessTokenValidity: minutes,
  TokenValidityUnits: { IdToken: "minutes", AccessToken: "minutes", RefreshToken: "days" },
}];

const user = (name, status, more = {}) => [name, {
  Username: name, Password: "Passw0rd!", Enabled: true, UserStatus: status,
  UserCreateDate: date, UserLastModifiedDate: date, RefreshTokens: [],
  Attributes: [
    { Name: "sub", Value: `00000000-0000-4000-8000-${Buffer.from(name.padEnd(6)).toString("hex")}` },
    { Name: "email", Value: `${name}@villa.test` },
    { Name: "phone_number", Value: "+66810001234" },
  ], ...more,
}];

mkdirSync(".cognito/db", { recursive: true });
const write = (path, value) => writeFileSync(`.cognito/${path}`, JSON.stringify(value));
write("config.json", { UserPoolDefaults: { UsernameAttributes: [] } });
write("db/clients.json", { Clients: Object.fromEntries([client("villapay", 60)]) });
write(`db/${pool}.json`, {
  Options: {
    Id: pool, Name: "local", MfaConfiguration: "OPTIONAL", UsernameAttributes: [], SchemaAttributes: [],
    CreationDate: date, LastModifiedDate: date,
  },
  Groups: {},
  Users: Object.fromEntries([
    user("ann", "CONFIRMED"),
    user("newbie", "FORCE_CHANGE_PASSWORD"),
    user("reset", "RESET_REQUIRED"),
    user("unconf", "UNCONFIRMED"),
    user("sms", "CONFIRMED", { MFAOptions: sms }),
    user("totp", "CONFIRMED", { UserMFASettingList: ["SOFTWARE_TOKEN_MFA"], PreferredMfaSetting: "SOFTWARE_TOKEN_MFA", SoftwareTokenMfaConfiguration: totp }),
    user("both", "CONFIRMED", { MFAOptions: sms, UserMFASettingList: ["SMS_MFA", "SOFTWARE_TOKEN_MFA"], SoftwareTokenMfaConfiguration: totp }),
  ]),
});
