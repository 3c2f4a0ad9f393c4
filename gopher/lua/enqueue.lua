-- Store new jobs and put each where it waits. A repeat with the same ids stores nothing twice.
--
-- - -> pending (the first one goes on to `next`), or scheduled when its time has not come
--
-- KEYS  1 prefix
-- ARGV  for each job: id, type, priority, due ('': now), expires ('': never), retention ms ('': the
--       default), envelope. Times are ms since 1970, or '+5000' for so many from now
-- Returns  for each job NEW, or DUPLICATE when its record was there already
-- uses: base clock arm alarm
local answers, earliest = {}, nil

local function instant(text)
  if string.sub(text, 1, 1) == '+' then
    return now + tonumber(text)
  end
  return tonumber(text) or 0
end

for i = 1, #ARGV, 7 do
  local id, job_type, priority, due = ARGV[i], ARGV[i + 1], ARGV[i + 2], instant(ARGV[i + 3])
  local record = P .. 'job:' .. id
  if redis.call('EXISTS', record) == 1 then
    answers[#answers + 1] = 'DUPLICATE'
  else
    local waits = due > now
    -- The first write: a server that is out of memory refuses the whole call here.
    redis.call('HSET', record, 'type', job_type, 'priority', priority,
      'state', waits and 'scheduled' or 'pending', 'since', now, 'envelope', ARGV[i + 6])
    if ARGV[i + 4] ~= '' then
      redis.call('HSET', record, 'expires', instant(ARGV[i + 4]))
    end
    if ARGV[i + 5] ~= '' then
      redis.call('HSET', record, 'retention', ARGV[i + 5])
    end
    if waits then
      redis.call('HSET', record, 'due', due)
      redis.call('ZADD', P .. 'scheduled', due, id)
      earliest = math.min(earliest or due, due)
    else
      redis.call('LPUSH', P .. 'pending:' .. priority, id)
    end
    count('enqueued:' .. job_type .. ':' .. priority, 1)
    answers[#answers + 1] = 'NEW'
  end
end

if earliest then
  alarm('scheduled', earliest)
end
arm()
write_counts()
return answers
