-- What became of a request with an Idempotency-Key. KEYS[1]: a hash with `print` (of the request), `owner` (who works
-- on it) and, once it is done, `answer`. While it is worked on it expires unless its owner renews it.
--
-- ARGV[1] says what to do, ARGV[2] is the owner, ARGV[3] how many milliseconds the record lives from now on:
--   begin: ARGV[4] the print; returns {'yours'}, {'running'}, {'other'} (the key belongs to another request)
--          or {'answer', <answer>}
--   renew: nothing where somebody else owns it by now, as the next two
--   keep:  ARGV[4] the answer
--   drop

local key, what, owner, lives = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
local found = redis.call('HMGET', key, 'print', 'owner', 'answer')

if what == 'begin' then
  if not found[1] then
    redis.call('HSET', key, 'print', ARGV[4], 'owner', owner)
    redis.call('PEXPIRE', key, lives)
    return {'yours'}
  end
  if found[1] ~= ARGV[4] then return {'other'} end
  if found[3] then return {'answer', found[3]} end
  return {'running'}
end

if found[2] ~= owner or found[3] then return 0 end
if what == 'drop' then return redis.call('DEL', key) end
if what == 'keep' then redis.call('HSET', key, 'answer', ARGV[4]) end
return redis.call('PEXPIRE', key, lives)
