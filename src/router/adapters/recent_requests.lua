-- A tenant's recent requests. KEYS[1]: a list, newest first, of entries "<microseconds since 1970> <the rest>".
--
-- ARGV[1] says what to do:
--   note:   ARGV[2] the entry, ARGV[3] how many to keep, ARGV[4] microseconds before which none is kept,
--           ARGV[5] milliseconds after which all of them go
--   last:   ARGV[2] how many; returns the entries
--   forget: returns how many lists there were

local key, what = KEYS[1], ARGV[1]

if what == 'last' then return redis.call('LRANGE', key, 0, ARGV[2] - 1) end
if what == 'forget' then return redis.call('DEL', key) end

redis.call('LPUSH', key, ARGV[2])
redis.call('LTRIM', key, 0, ARGV[3] - 1)
local oldest = tonumber(ARGV[4])
local last = redis.call('LINDEX', key, -1)
while last and (tonumber(string.match(last, '^%d+')) or 0) < oldest do
  redis.call('RPOP', key)
  last = redis.call('LINDEX', key, -1)
end
redis.call('PEXPIRE', key, ARGV[5])
