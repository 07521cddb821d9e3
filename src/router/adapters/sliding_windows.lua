-- Count one request in every window, or in none of them when one is full. One atomic step, on Valkey's own clock.
--
-- KEYS[i]: a hash {bucket number = requests} for window i.
-- ARGV: for each window: limit, length in microseconds, bucket length in microseconds.
-- Returns: number of the full window (0 if allowed), microseconds until a request would fit, then for each window
-- what remains and the microseconds until its oldest request leaves.
--
-- A bucket counts as long as any moment of it lies inside the window, so no span of the window's length ever holds
-- more than the limit; a slot is given back at most one bucket late.

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

local full, wait = 0, 0
local used, reset = {}, {}

for i = 1, #KEYS do
  local limit, length, step = tonumber(ARGV[3 * i - 2]), tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i])
  local oldest = math.floor((now - length) / step)
  local counts, buckets, expired = {}, {}, {}
  used[i], reset[i] = 0, 0

  local entries = redis.call('HGETALL', KEYS[i])
  for j = 1, #entries, 2 do
    local bucket = tonumber(entries[j])
    if bucket < oldest then
      expired[#expired + 1] = entries[j]
    else
      buckets[#buckets + 1] = bucket
      counts[bucket] = tonumber(entries[j + 1])
      used[i] = used[i] + counts[bucket]
    end
  end
  if #expired > 0 then redis.call('HDEL', KEYS[i], unpack(expired)) end

  table.sort(buckets)
  if #buckets > 0 then reset[i] = (buckets[1] + 1) * step + length - now end
  if used[i] >= limit then
    local freed, needed = 0, used[i] - limit + 1
    for _, bucket in ipairs(buckets) do
      freed = freed + counts[bucket]
      if freed >= needed then
        local until_free = (bucket + 1) * step + length - now
        if until_free > wait then full, wait = i, until_free end
        break
      end
    end
  end
end

local answer = { full, wait }
for i = 1, #KEYS do
  local limit, length, step = tonumber(ARGV[3 * i - 2]), tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i])
  if full == 0 then
    redis.call('HINCRBY', KEYS[i], string.format('%.0f', math.floor(now / step)), 1)
    redis.call('PEXPIRE', KEYS[i], math.ceil((length + step) / 1000))
    used[i] = used[i] + 1
    if reset[i] == 0 then reset[i] = length + step end
  end
  answer[#answer + 1] = math.max(0, limit - used[i])
  answer[#answer + 1] = reset[i]
end
return answer
