// Signs in to the sandbox with AWS's own JavaScript client. Run by
// TestJavaScriptClient: ENDPOINT is the pool's URL, POOL its ID. Prints a line
// for each check that passed and leaves with 1 at the first that did not.
'use strict';
const assert = require('node:assert/strict');
const crypto = require('node:crypto');
const aws = require('amazon-cognito-identity-js');

const { ENDPOINT, POOL } = process.env;
const PASSWORD = 'Passw0rd!';
const SECRET = 'JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP';

class Memory {
  constructor() { this.items = new Map(); }
  setItem(k, v) { this.items.set(k, v); return v; }
  getItem(k) { return this.items.get(k); }
  removeItem(k) { return this.items.delete(k); }
  clear() { this.items.clear(); }
}

function user(name, client = 'villapay-sandbox') {
  const Storage = new Memory();
  const pool = new aws.CognitoUserPool({ UserPoolId: POOL, ClientId: client, endpoint: ENDPOINT, Storage });
  return new aws.CognitoUser({ Username: name, Pool: pool, Storage });
}

// callbacks turns the client's callbacks into one promise of [event, ...args].
function callbacks(start) {
  return new Promise((resolve, reject) => start({
    onSuccess: (...args) => resolve(['success', ...args]),
    onFailure: reject,
    mfaRequired: (...args) => resolve(['sms', ...args]),
    totpRequired: (...args) => resolve(['totp', ...args]),
    selectMFAType: (...args) => resolve(['select', ...args]),
    newPasswordRequired: (...args) => resolve(['newPassword', ...args]),
  }));
}

// node turns a node-style callback into a promise.
const node = (start) => new Promise((resolve, reject) =>
  start((err, value) => (err ? reject(err) : resolve(value))));

const signIn = (u, password = PASSWORD) => callbacks((cb) =>
  u.authenticateUser(new aws.AuthenticationDetails({ Username: u.getUsername(), Password: password }), cb));
const sendCode = (u, code, type) => callbacks((cb) => u.sendMFACode(code, cb, type));
const choose = (u, type) => callbacks((cb) => u.sendMFASelectionAnswer(type, cb));
const setPassword = (u, password) => callbacks((cb) => u.completeNewPasswordChallenge(password, {}, cb));

const refused = (promise, name, message) => assert.rejects(promise, (err) => {
  assert.equal(err.name, name);
  assert.equal(err.message, message);
  return true;
});
const wrong = (promise) => refused(promise, 'NotAuthorizedException', 'Incorrect username or password.');

function totp(secret) {
  const bits = [...secret].map((c) => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(c).toString(2).padStart(5, '0')).join('');
  const key = Buffer.from(bits.match(/.{8}/g).map((b) => parseInt(b, 2)));
  const step = Buffer.alloc(8);
  step.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30000)));
  const sum = crypto.createHmac('sha1', key).update(step).digest();
  return String((sum.readUInt32BE(sum[19] & 15) & 0x7fffffff) % 1e6).padStart(6, '0');
}

function checkSession(session, name, client) {
  const id = session.getIdToken().decodePayload();
  const access = session.getAccessToken().decodePayload();
  assert.ok(session.isValid());
  assert.equal(id['cognito:username'], name);
  assert.equal(id.aud, client);
  assert.equal(id.token_use, 'id');
  assert.equal(id.iss, `${ENDPOINT}/${POOL}`);
  assert.equal(access.username, name);
  assert.equal(access.client_id, client);
  assert.equal(access.token_use, 'access');
  assert.ok(session.getRefreshToken().getToken().length > 1500);
}

const checks = {
  async 'SRP'() {
    const u = user('ann');
    const [event, session] = await signIn(u);
    assert.equal(event, 'success');
    checkSession(session, 'ann', 'villapay-sandbox');
  },
  async 'SRP by email'() {
    const u = user('ann@villa.test');
    checkSession((await signIn(u))[1], 'ann', 'villapay-sandbox');
    assert.equal(u.getUsername(), 'ann');
  },
  async 'SRP where the username is a UUID'() {
    const u = user('mai@villa.test');
    await signIn(u);
    assert.match(u.getUsername(), /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
  },
  async 'SRP many times, for numbers of every length'() {
    for (let i = 0; i < 12; i++) assert.equal((await signIn(user('ann')))[0], 'success');
  },
  async 'wrong password'() { await wrong(signIn(user('sms'), 'Passw0rd?')); },
  async 'unknown user'() { await wrong(signIn(user('nobody'))); },
  async 'password flow'() {
    const u = user('ann', 'villapay-password');
    u.setAuthenticationFlowType('USER_PASSWORD_AUTH');
    checkSession((await signIn(u))[1], 'ann', 'villapay-password');
  },
  async 'password flow, wrong password'() {
    const u = user('both');
    u.setAuthenticationFlowType('USER_PASSWORD_AUTH');
    await wrong(signIn(u, 'nonsense'));
  },
  async 'password flow not enabled'() {
    const u = user('ann', 'villapay-srp');
    u.setAuthenticationFlowType('USER_PASSWORD_AUTH');
    await refused(signIn(u), 'InvalidParameterException', 'USER_PASSWORD_AUTH flow not enabled for this client');
  },
  async 'SRP not enabled'() {
    await refused(signIn(user('ann', 'villapay-password')), 'InvalidParameterException', 'USER_SRP_AUTH is not enabled for the client.');
  },
  async 'client secret missing'() {
    await refused(signIn(user('ann', 'villapay-confidential')), 'NotAuthorizedException',
      'Client villapay-confidential is configured with secret but SECRET_HASH was not received');
  },
  async 'unknown client'() {
    await refused(signIn(user('ann', 'nosuch')), 'ResourceNotFoundException', 'User pool client nosuch does not exist.');
  },
  async 'TOTP'() {
    const u = user('totp');
    assert.equal((await signIn(u))[0], 'totp');
    await refused(sendCode(u, '000000', 'SOFTWARE_TOKEN_MFA'), 'CodeMismatchException', 'Invalid code received for user');
    const [event, session] = await sendCode(u, totp(SECRET), 'SOFTWARE_TOKEN_MFA');
    assert.equal(event, 'success');
    checkSession(session, 'totp', 'villapay-sandbox');
  },
  async 'SMS'() {
    const u = user('sms');
    const [event, , params] = await signIn(u);
    assert.equal(event, 'sms');
    assert.equal(params.CODE_DELIVERY_DESTINATION, '+*******1234');
    await refused(sendCode(u, '111111'), 'CodeMismatchException', 'Invalid code or auth state for the user.');
    await refused(sendCode(u, '999999'), 'ExpiredCodeException', 'Invalid code provided, please request a code again.');
    assert.equal((await sendCode(u, '123456'))[0], 'success');
    await refused(sendCode(u, '123456'), 'NotAuthorizedException', 'Invalid session for the user, session can only be used once.');
  },
  async 'both, by SMS'() {
    const u = user('both');
    assert.equal((await signIn(u))[0], 'select');
    assert.equal((await choose(u, 'SMS_MFA'))[0], 'sms');
    assert.equal((await sendCode(u, '123456'))[0], 'success');
  },
  async 'both, by TOTP'() {
    const u = user('both');
    const [, , params] = await signIn(u);
    assert.deepEqual(JSON.parse(params.MFAS_CAN_CHOOSE), ['SMS_MFA', 'SOFTWARE_TOKEN_MFA']);
    assert.equal((await choose(u, 'SOFTWARE_TOKEN_MFA'))[0], 'totp');
    assert.equal((await sendCode(u, totp(SECRET), 'SOFTWARE_TOKEN_MFA'))[0], 'success');
  },
  async 'new password'() {
    const u = user('newbie');
    const [event, attributes, required] = await signIn(u);
    assert.equal(event, 'newPassword');
    assert.equal(attributes.email, 'newbie@villa.test');
    assert.deepEqual(required, []);
    await refused(setPassword(u, 'short'), 'InvalidPasswordException', 'Password does not conform to policy: Password not long enough');
    assert.equal((await setPassword(u, 'N3w-Passw0rd'))[0], 'success');
    await wrong(signIn(user('newbie')));
    assert.equal((await signIn(user('newbie'), 'N3w-Passw0rd'))[0], 'success');
  },
  async 'new password, then TOTP'() {
    const u = user('newtotp');
    await signIn(u);
    assert.equal((await setPassword(u, 'N3w-Passw0rd'))[0], 'totp');
    assert.equal((await sendCode(u, totp(SECRET), 'SOFTWARE_TOKEN_MFA'))[0], 'success');
  },
  async 'password reset required'() {
    await refused(signIn(user('reset')), 'PasswordResetRequiredException', 'Password reset required for the user');
  },
  async 'not confirmed'() { await refused(signIn(user('unconf')), 'UserNotConfirmedException', 'User is not confirmed.'); },
  async 'disabled'() { await refused(signIn(user('disabled')), 'NotAuthorizedException', 'User is disabled.'); },
  async 'locked'() { await refused(signIn(user('locked')), 'NotAuthorizedException', 'Password attempts exceeded'); },
  async 'temporary password expired'() {
    await refused(signIn(user('expired')), 'NotAuthorizedException',
      'Temporary password has expired and must be reset by an administrator.');
  },
  async 'refresh'() {
    const u = user('ann');
    const [, before] = await signIn(u);
    const after = await node((cb) => u.refreshSession(before.getRefreshToken(), cb));
    checkSession(after, 'ann', 'villapay-sandbox');
    assert.notEqual(after.getIdToken().getJwtToken(), before.getIdToken().getJwtToken());
    assert.equal(after.getRefreshToken().getToken(), before.getRefreshToken().getToken());
    assert.equal(after.getIdToken().decodePayload().auth_time, before.getIdToken().decodePayload().auth_time);
  },
  async 'refresh where the client rotates'() {
    const u = user('ann', 'villapay-rotating');
    const [, session] = await signIn(u);
    await refused(node((cb) => u.refreshSession(session.getRefreshToken(), cb)),
      'InvalidParameterException', 'Auth flow not enabled for this client');
  },
  async 'user attributes'() {
    const u = user('ann');
    await signIn(u);
    const attributes = await node((cb) => u.getUserAttributes(cb));
    assert.equal(attributes.find((a) => a.getName() === 'email').getValue(), 'ann@villa.test');
    assert.equal((await node((cb) => u.getUserData(cb, { bypassCache: true }))).Username, 'ann');
  },
  async 'global sign-out'() {
    const [u, other] = [user('visitor'), user('visitor')];
    const [, session] = await signIn(u);
    await signIn(other);
    const token = session.getRefreshToken();
    assert.equal((await callbacks((cb) => u.globalSignOut(cb)))[1], 'SUCCESS');
    await refused(node((cb) => other.getUserAttributes(cb)), 'NotAuthorizedException', 'Access Token has been revoked');
    await refused(node((cb) => other.refreshSession(token, cb)), 'NotAuthorizedException', 'Refresh Token has been revoked');
  },
  async 'sign-out that revokes'() {
    const u = user('ann');
    const [, session] = await signIn(u);
    await node((cb) => u.signOut(cb));
    await refused(node((cb) => u.refreshSession(session.getRefreshToken(), cb)),
      'NotAuthorizedException', 'Refresh Token has been revoked');
  },
};

// All at once: a failed refresh is retried by the client for six seconds.
Promise.all(Object.entries(checks).map(async ([name, check]) => {
  try {
    await check();
    console.log(`ok ${name}`);
  } catch (err) {
    err.message = `${name}: ${err.message}`;
    throw err;
  }
})).catch((err) => {
  console.error(err);
  process.exit(1);
});
