-- Tell a text under a name, drop what is older than it lives, and return what is left: name, text, name, text…
-- KEYS[1] the hash; ARGV: name, text (empty: the name goes), how long a text lives in ms.
-- A field holds the time it was told and the text, with a blank between. The clock is Valkey's own.
local time = redis.call("TIME")
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local lives = tonumber(ARGV[3])

if ARGV[2] == "" then
    redis.call("HDEL", KEYS[1], ARGV[1])
else
    redis.call("HSET", KEYS[1], ARGV[1], string.format("%.0f %s", now, ARGV[2]))
    redis.call("PEXPIRE", KEYS[1], lives)
end

local told = redis.call("HGETALL", KEYS[1])
local living = {}
for at = 1, #told, 2 do
    local blank = string.find(told[at + 1], " ", 1, true)
    if now - tonumber(string.sub(told[at + 1], 1, blank - 1)) < lives then
        living[#living + 1] = told[at]
        living[#living + 1] = string.sub(told[at + 1], blank + 1)
    else
        redis.call("HDEL", KEYS[1], told[at])
    end
end
return living
