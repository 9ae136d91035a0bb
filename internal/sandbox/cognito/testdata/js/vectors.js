// Writes ../srp_vectors.json: SRP exchanges whose client half is computed by
// AWS's own AuthenticationHelper, with the server's half beside it, and with
// numbers picked for the lengths and leading bits that go wrong. Run by hand:
//
//	npm install && node vectors.js > ../srp_vectors.json
'use strict';
const crypto = require('node:crypto');
const lib = 'amazon-cognito-identity-js/lib/';
const Helper = require(lib + 'AuthenticationHelper').default;
const BigInteger = require(lib + 'BigInteger').default;

const N = BigInt('0x' + new Helper('x').N.toString(16));
const users = [
  ['ann', 'Passw0rd!'],
  ['c93a45dc-0071-70a3-2f2e-2b9f4c1d7e10', 'correct horse battery staple'],
  ['สมชาย', 'รหัสผ่าน-9aA'],
  ['o\'brien+pay@villa.test', ' a:b\\"c\t é\u{1F511} '],
];
const times = [
  'Fri May 30 13:56:57 UTC 2025', 'Sun Jun 1 00:00:00 UTC 2025', 'Tue Dec 31 23:59:59 UTC 2024',
  'Thu Feb 29 16:45:50 UTC 2024', 'Wed Jan 8 04:05:06 UTC 2025',
];

const random = (bytes) => BigInt('0x' + crypto.randomBytes(bytes).toString('hex'));
const hash = (...parts) => crypto.createHash('sha256').update(Buffer.concat(parts)).digest();
const int = (buffer) => BigInt('0x' + buffer.toString('hex'));

function pow(base, exponent) {
  let result = 1n;
  for (base %= N; exponent > 0n; exponent >>= 1n, base = (base * base) % N) {
    if (exponent & 1n) result = (result * base) % N;
  }
  return result;
}

function pad(n) {
  let hex = n.toString(16);
  if (hex.length % 2) hex = '0' + hex;
  return Buffer.from(/^[89a-f]/.test(hex) ? '00' + hex : hex, 'hex');
}

// What may be asked of the numbers of a vector, and how often.
const wanted = [
  ['any', 8, () => true],
  ['B has a byte less', 6, (v) => pad(v.B).length < 384],
  ['B starts with a zero nibble', 6, (v) => v.B.toString(16).length % 2 === 1],
  ['A has a byte less', 6, (v) => pad(v.A).length < 384],
  ['A starts with a zero nibble', 4, (v) => v.A.toString(16).length % 2 === 1],
  ['B has its first bit set', 4, (v) => pad(v.B).length === 385],
  ['u has a byte less', 4, (v) => pad(v.u).length < 32],
  ['u has its first bit set', 4, (v) => pad(v.u).length === 33],
  ['salt has a byte less', 4, (v) => pad(v.salt).length < 16],
  ['salt has its first bit set', 4, (v) => pad(v.salt).length === 17],
];

// propose draws an exchange. Small private numbers keep the search short: they
// change nothing about what is hashed.
function propose(user, password, pool) {
  const [a, b, salt] = [random(16), random(16), random(16)];
  const inner = hash(Buffer.from(`${pool}${user}:${password}`));
  const v = pow(2n, int(hash(pad(salt), inner)));
  const k = int(hash(pad(N), pad(2n)));
  const A = pow(2n, a);
  const B = (k * v + pow(2n, b)) % N;
  return { a, b, salt, A, B, u: int(hash(pad(A), pad(B))) };
}

function sign(v, user, password, pool, block, time) {
  const helper = new Helper(pool);
  const big = (n) => new BigInteger(n.toString(16), 16);
  helper.smallAValue = big(v.a);
  helper.largeAValue = undefined;
  let A, key;
  helper.getLargeAValue((err, value) => { if (err) throw err; A = value; });
  helper.getPasswordAuthenticationKey(user, password, big(v.B), big(v.salt), (err, value) => {
    if (err) throw err;
    key = value;
  });
  if (A.toString(16) !== v.A.toString(16)) throw new Error('A differs');
  return crypto.createHmac('sha256', Buffer.from(key))
    .update(Buffer.concat([Buffer.from(pool + user), block, Buffer.from(time)])).digest('base64');
}

const vectors = [];
for (const [note, count, fits] of wanted) {
  for (let i = 0; i < count; i++) {
    const [user, password] = users[vectors.length % users.length];
    const time = times[vectors.length % times.length];
    const pool = vectors.length % 3 === 2 ? 'Ab9Cd8EfG' : 'Sandbox01';
    let v;
    do v = propose(user, password, pool); while (!fits(v));
    const block = crypto.randomBytes(96);
    vectors.push({
      note, username: user, password, pool: `ap-southeast-1_${pool}`,
      a: v.a.toString(16), A: v.A.toString(16), b: v.b.toString(16), B: v.B.toString(16), salt: v.salt.toString(16),
      secret_block: block.toString('base64'), timestamp: time,
      signature: sign(v, user, password, pool, block, time),
    });
  }
}
console.log('[\n' + vectors.map((v) => '  ' + JSON.stringify(v)).join(',\n') + '\n]');
