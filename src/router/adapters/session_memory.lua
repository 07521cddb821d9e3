-- The end of a session as it was last written. KEYS[1]: "<revision> <JSON>", or "<revision>" where nothing is known but
-- that whatever is older is out of date, or "erased". KEYS[2]: there while all of the user's was erased a short time ago.
-- Both expire.
--
-- ARGV[1] says what to do, ARGV[2] how many milliseconds it is to hold:
--   get:        the JSON, or nothing
--   put:        ARGV[3] the revision, ARGV[4] the JSON; not over what is newer, nor where it was erased
--   outdate:    ARGV[3] the revision
--   erase:      the session
--   erase_user

local what, lives = ARGV[1], ARGV[2]

if what == 'erase_user' then return redis.call('SET', KEYS[2], '', 'PX', lives) end
if what == 'erase' then return redis.call('SET', KEYS[1], 'erased', 'PX', lives) end
if redis.call('EXISTS', KEYS[2]) == 1 then return false end

local found = redis.call('GET', KEYS[1])
if what == 'get' then return found and string.match(found, '^%d+ (.*)$') end
if found == 'erased' then return false end

local known, given = found and tonumber(string.match(found, '^%d+')) or -1, tonumber(ARGV[3])
if known > given or (what == 'outdate' and known == given) then return false end
local entry = what == 'put' and ARGV[3] .. ' ' .. ARGV[4] or ARGV[3]
return redis.call('SET', KEYS[1], entry, 'PX', lives)
