-- Admission of a tenant's requests: every limit checked at once, the worst case reserved, the truth settled. One call,
-- one atomic step, on Valkey's own clock. `domain/admission_book.py` is the same rule in Python.
--
-- KEYS: 1 tally, a hash: of the windows m(inute), h(our), t(okens) their buckets `m:<n>`, `m:sum` and `m:low`, the first
--         bucket that is not empty; reserved:tokens; reserved:<month>, spent:<month>, late:<month>, seeded:<month>; refused;
--         doubt: of a spend that may differ from the ledger's, when something was last charged
--       2 leases, a hash: lease = "tokens cost month deadline used_tokens used_cost"
--       3 due, a sorted set: when each lease ends unless it is renewed
--       4 deadlines, a sorted set
--       5, 6 ended, hashes in turns: lease = "tokens cost month" as charged; each goes as a whole
-- ARGV: 1 operation; lengths in microseconds: 2 lease, 3 minute, 4 hour, 5 remember; then
--   admit, state: 6 lease id; limits, -1 for none: 7 requests a minute, 8 an hour, 9 tokens a minute, 10 concurrent,
--                 11 budget; 12 tokens, 13 cost, 14 microseconds to the deadline, 15 month, 16 its end, 17 spent or -1
--     returns 0 refused, 1 admitted or 2 spend needed; number of the limit; microseconds to wait, -1 for never; then
--     remaining and reset of each of the five
--   renew: 6 lease id, 7 tokens, 8 cost                  returns 1, or 0 when the lease has ended
--   settle: 6 lease id, 7 tokens, 8 cost, 9 month, 10 microseconds ago, 11 whether it stands in the ledger, 0 or 1
--     returns 1, or 0 when the lease was not live
--   refused: returns the last refusal, "number at tokens cost wait", or nothing

local TALLY, LEASES, DUE, DEADLINES = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local KEEP_MS = 7200000 -- twice the longest window; an idle tenant's spend is asked of the ledger again
local call, floor, format = redis.call, math.floor, string.format

local time = call('TIME')
local now = time[1] * 1000000 + time[2]
local operation, id = ARGV[1], ARGV[6]
local LEASE, MINUTE, HOUR, REMEMBER = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])

local function digits(number) return format('%.0f', number) end

local function touch()
  for i = 1, 4 do call('PEXPIRE', KEYS[i], KEEP_MS) end
end

local function parse(entry)
  local tokens, cost, month, deadline, used_tokens, used_cost = entry:match('^(%d+) (%d+) (%S+) (%d+) (%d+) (%d+)$')
  return tonumber(tokens), tonumber(cost), month, tonumber(deadline), tonumber(used_tokens), tonumber(used_cost)
end

if operation == 'refused' then return call('HGET', TALLY, 'refused') end

if operation == 'renew' then
  local due = tonumber(call('ZSCORE', DUE, id) or 0)
  if due <= now then
    if call('EXISTS', TALLY) == 1 then call('HSET', TALLY, 'doubt', digits(now)) end
    return 0
  end
  local tokens, cost, month, deadline, used_tokens, used_cost = parse(call('HGET', LEASES, id))
  used_tokens, used_cost = math.max(used_tokens, tonumber(ARGV[7])), math.max(used_cost, tonumber(ARGV[8]))
  call('HSET', LEASES, id, format('%.0f %.0f %s %.0f %.0f %.0f', tokens, cost, month, deadline, used_tokens, used_cost))
  call('ZADD', DUE, digits(math.min(now + LEASE, deadline)), id)
  touch()
  return 1
end

-- What is counted now.
local month = operation == 'settle' and ARGV[9] or ARGV[15]
local minute = { name = 'm:', length = MINUTE, step = floor(MINUTE / 60) }
local hour = { name = 'h:', length = HOUR, step = floor(HOUR / 60) }
local tokens_used = { name = 't:', length = MINUTE, step = floor(MINUTE / 60) }
minute.bucket, hour.bucket = floor(now / minute.step), floor(now / hour.step)
tokens_used.bucket = minute.bucket

local found = call('HMGET', TALLY,
  'm:sum', 'm:low', 'm:' .. minute.bucket, 'h:sum', 'h:low', 'h:' .. hour.bucket,
  't:sum', 't:low', 't:' .. minute.bucket, 'reserved:tokens', 'reserved:' .. month, 'spent:' .. month, 'doubt')
local reserved, reserved_cost, spent = tonumber(found[10] or 0), tonumber(found[11] or 0), tonumber(found[12] or nil)
local doubt = tonumber(found[13] or nil)
local writes = {}

local function write(field, value)
  writes[#writes + 1] = field
  writes[#writes + 1] = digits(value)
end

local function doubt_from(at)
  if doubt and doubt >= at then return end
  write('doubt', at)
  doubt = at
end

-- A window's buckets from the first that is not empty: none lies further on than 61.
local function buckets(window)
  local names = {}
  for bucket = window.low, window.low + 61 do names[#names + 1] = window.name .. bucket end
  return call('HMGET', TALLY, unpack(names)), names
end

local function read(window, i)
  window.sum, window.low, window.count = tonumber(found[i] or 0), tonumber(found[i + 1] or 0), tonumber(found[i + 2] or 0)
  window.oldest = floor((now - window.length) / window.step)
  if window.sum == 0 or window.low >= window.oldest then return end
  local counts, names = buckets(window)
  local gone, low = {}, window.bucket
  for j = 1, #counts do
    if counts[j] then
      local bucket = window.low + j - 1
      if bucket >= window.oldest then
        low = bucket
        break
      end
      gone[#gone + 1] = names[j]
      window.sum = window.sum - counts[j]
    end
  end
  call('HDEL', TALLY, unpack(gone))
  window.low, window.changed = low, true
end

read(minute, 1)
read(hour, 4)
read(tokens_used, 7)

-- Count `amount` at a moment that may have left the window already.
local function add(window, bucket, amount)
  if amount <= 0 or bucket < window.oldest then return end
  if window.sum == 0 or bucket < window.low then window.low = bucket end
  window.sum, window.changed = window.sum + amount, true
  if bucket == window.bucket then
    window.count = window.count + amount
    write(window.name .. bucket, window.count)
  else
    call('HINCRBY', TALLY, window.name .. bucket, digits(amount))
  end
end

local function save()
  for _, window in ipairs({ minute, hour, tokens_used }) do
    if window.changed then
      write(window.name .. 'sum', window.sum)
      write(window.name .. 'low', window.low)
    end
  end
  if #writes > 0 then call('HSET', TALLY, unpack(writes)) end
end

local function reserve(amount, cost, in_month)
  reserved = reserved + amount
  if amount ~= 0 then call('HINCRBY', TALLY, 'reserved:tokens', digits(amount)) end
  if cost ~= 0 then call('HINCRBY', TALLY, 'reserved:' .. in_month, digits(cost)) end
  if in_month == month then reserved_cost = reserved_cost + cost end
end

-- Where no spend is known the ledger is going to be asked for it, and has this; `late` is kept until then.
local function charge(cost, in_month, late)
  if cost == 0 then return end
  local known = spent
  if in_month ~= month then known = call('HGET', TALLY, 'spent:' .. in_month) end
  if known then
    call('HINCRBY', TALLY, 'spent:' .. in_month, digits(cost))
    if in_month == month then spent = spent + cost end
  elseif late then
    call('HINCRBY', TALLY, 'late:' .. in_month, digits(cost))
  end
end

local function remember(lease, tokens, cost, in_month)
  local turn = floor(now / REMEMBER)
  local key = KEYS[5 + turn % 2]
  call('HSET', key, lease, format('%.0f %.0f %s', tokens, cost, in_month))
  call('PEXPIRE', key, math.ceil(((turn + 2) * REMEMBER - now) / 1000))
end

local function finish(lease, entry, at, used_tokens, used_cost)
  local tokens, cost, in_month, _, last_tokens, last_cost = parse(entry)
  used_tokens, used_cost = used_tokens or last_tokens, used_cost or last_cost
  call('HDEL', LEASES, lease)
  call('ZREM', DUE, lease)
  call('ZREM', DEADLINES, lease)
  reserve(-tokens, -cost, in_month)
  add(tokens_used, floor(at / tokens_used.step), used_tokens)
  charge(used_cost, in_month, false)
  remember(lease, used_tokens, used_cost, in_month)
end

-- Leases that were not renewed have ended when they were due.
local expired = call('ZRANGE', DUE, '-inf', digits(now), 'BYSCORE', 'WITHSCORES')
for i = 1, #expired, 2 do
  finish(expired[i], call('HGET', LEASES, expired[i]), tonumber(expired[i + 1]))
  doubt_from(tonumber(expired[i + 1])) -- the ledger may have more of it, or less
end

if operation == 'settle' then
  local used_tokens, used_cost, ago = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[10])
  local entry = call('HGET', LEASES, id)
  if doubt or not entry or ARGV[11] == '0' then doubt_from(now) end
  if entry then
    finish(id, entry, now, used_tokens, used_cost)
  else
    local key, ended = KEYS[5], call('HGET', KEYS[5], id)
    if not ended then key, ended = KEYS[6], call('HGET', KEYS[6], id) end
    if ended then
      local tokens, cost, in_month = ended:match('^(%d+) (%d+) (%S+)$')
      add(tokens_used, tokens_used.bucket, used_tokens - tokens)
      charge(used_cost - cost, in_month, false)
      call('HSET', key, id, format('%.0f %.0f %s', math.max(used_tokens, tokens), used_cost, in_month))
    else
      add(tokens_used, floor((now - ago) / tokens_used.step), used_tokens)
      local seeded = spent and ago > 0 and tonumber(call('HGET', TALLY, 'seeded:' .. month) or 0) or 0
      if seeded <= now - ago then charge(used_cost, month, ago == 0) end
      remember(id, used_tokens, used_cost, month)
    end
  end
  save()
  call('PEXPIRE', TALLY, KEEP_MS)
  return entry and 1 or 0
end

local limits = {}
for i = 1, 5 do limits[i] = tonumber(ARGV[6 + i]) end
local tokens, cost, deadline = tonumber(ARGV[12]), tonumber(ARGV[13]), now + tonumber(ARGV[14])
local month_end, seed = tonumber(ARGV[16]), tonumber(ARGV[17])
local live = call('ZCARD', DUE)
-- Nothing is under way, and has not been for the length of a lease: the ledger is asked again, until it agrees.
local doubted = doubt and live == 0 and now - doubt >= LEASE and spent or nil
if doubted then spent = nil end

local function answer(status, full, wait)
  save()
  local first = live > 0 and tonumber(call('ZRANGE', DEADLINES, 0, 0, 'WITHSCORES')[2]) - now or 0
  local reply = { status, full, wait }
  for i, window in ipairs({ minute, hour, tokens_used }) do
    reply[#reply + 1] = math.max(0, limits[i] - window.sum - (i == 3 and reserved or 0))
    reply[#reply + 1] = window.sum > 0 and (window.low + 1) * window.step + window.length - now or 0
  end
  reply[#reply + 1] = math.max(0, limits[4] - live)
  reply[#reply + 1] = first
  reply[#reply + 1] = spent and math.max(0, limits[5] - spent - reserved_cost) or -1
  reply[#reply + 1] = math.max(0, month_end - now)
  return reply
end

if operation == 'state' then
  if not spent and seed >= 0 then spent = seed end
  return answer(1, 0, 0)
end

if not spent and seed >= 0 then
  spent = seed + tonumber(call('HGET', TALLY, 'late:' .. month) or 0)
  call('HDEL', TALLY, 'late:' .. month)
  write('spent:' .. month, spent)
  write('seeded:' .. month, now)
  if spent == doubted then call('HDEL', TALLY, 'doubt') else doubt_from(now) end
end
if limits[5] >= 0 and not spent then return answer(2, 0, 0) end

-- When `needed` will have left the window, and how much of it never does.
local function until_left(window, needed)
  if window.sum > 0 then
    for i, count in ipairs(buckets(window)) do
      if count then
        needed = needed - count
        if needed <= 0 then return (window.low + i) * window.step + window.length - now, 0 end
      end
    end
  end
  return 0, needed
end

-- Live reservations count as used in full at their deadline.
local function until_reservations_left(needed)
  local from = 0
  while true do
    local some = call('ZRANGE', DEADLINES, from, from + 49, 'WITHSCORES')
    if #some == 0 then return 0 end
    for i = 1, #some, 2 do
      needed = needed - parse(call('HGET', LEASES, some[i]))
      if needed <= 0 then
        return (floor(tonumber(some[i + 1]) / tokens_used.step) + 1) * tokens_used.step + MINUTE - now
      end
    end
    from = from + 50
  end
end

local full, wait = 0, 0
local function refuse(i, until_free)
  if wait ~= -1 and (until_free == -1 or until_free > wait) then full, wait = i, until_free end
end

for i, window in ipairs({ minute, hour }) do
  local over = window.sum + 1 - limits[i]
  if over > 0 then refuse(i, limits[i] < 1 and -1 or (until_left(window, over))) end
end
if limits[3] >= 0 then
  local over = tokens_used.sum + reserved + tokens - limits[3]
  if tokens > limits[3] then
    refuse(3, -1)
  elseif over > 0 then
    local until_free, left = until_left(tokens_used, over)
    if left > 0 then until_free = until_reservations_left(left) end
    refuse(3, until_free)
  end
end
if limits[4] >= 0 and live + 1 > limits[4] then
  local rank = live - limits[4]
  refuse(4, limits[4] < 1 and -1 or tonumber(call('ZRANGE', DEADLINES, rank, rank, 'WITHSCORES')[2]) - now)
end
if limits[5] >= 0 and spent + reserved_cost + cost > limits[5] then
  refuse(5, cost > limits[5] and -1 or math.max(1, month_end - now))
end

if full > 0 then
  writes[#writes + 1] = 'refused'
  writes[#writes + 1] = format('%d %.0f %.0f %.0f %.0f', full, now, tokens, cost, wait)
  local reply = answer(0, full, wait)
  call('PEXPIRE', TALLY, KEEP_MS)
  return reply
end

if call('HSETNX', LEASES, id, format('%.0f %.0f %s %.0f 0 0', tokens, cost, month, deadline)) == 1 then
  call('ZADD', DUE, digits(math.min(now + LEASE, deadline)), id)
  call('ZADD', DEADLINES, digits(deadline), id)
  live, reserved, reserved_cost = live + 1, reserved + tokens, reserved_cost + cost
  write('reserved:tokens', reserved)
  write('reserved:' .. month, reserved_cost)
  add(minute, minute.bucket, 1)
  add(hour, hour.bucket, 1)
end
local reply = answer(1, 0, 0)
touch()
return reply
