-- Store new jobs and put each where it waits. A repeat with the same ids, or under the same idempotency key, stores
-- nothing twice.
--
-- - -> pending (the first one goes on to `next`); scheduled when its time has not come, or when it waits
-- for other jobs
--
-- KEYS  1 prefix
-- ARGV  for a single plain job without an idempotency key: id, type, priority, envelope. Else
--       1 digest of the idempotency key or ''  2 digest of the request  3 what to answer a repeat with  4 for how
--       many ms  5 a packed list (MessagePack) of all jobs' values, then the envelope of each. The values are id, type,
--       priority, and '' for a plain job; for any other lines of: due
--       ('': now), expires ('': never), retention ms ('': the default), unique name (type, key, owner) or '', ms that it counts,
--       limit key or '', ids that it waits for, joined by commas, or ''; 'run' or 'fail' when one of those does
--       not complete. Times are ms since 1970, or '+5000' for that many from now
-- Returns  {REPLAYED, what ARGV 3 was the first time} or {MISMATCH} for a known idempotency key,
--       {NOPARENT, id} when a job to wait for does not exist, else OK, and of those jobs that are not new
--       the number, from 1 on, and DUPLICATE when its record existed already, or id, state and priority of the job
--       that has its unique key; after REPLAYED come those that were not new the first time

-- Nearly every call has a single plain job, which is stored here. Only if others wait while `next` is empty, they have to
-- be put in order, so that the job takes the general way below.
local is_single = #ARGV == 4
if is_single then
  local id, job_type, priority = ARGV[1], ARGV[2], ARGV[3]
  local record, first = P .. KEY.job .. id, P .. KEY.next
  -- A key that is named twice counts twice, so that one command asks about both.
  local existing = redis.call('EXISTS', record, first, first)
  if existing % 2 == 1 then
    return { 'OK', 1, 'DUPLICATE' }
  end
  local list
  if existing == 2 then
    list = P .. KEY.pending .. priority
  elseif redis.call('EXISTS', P .. KEY.paused, EVERY.pending) == 0 then
    list = first
  end
  if list then
    -- The first write: a server that is out of memory refuses the call here.
    redis.call('HSET', record, 'type', job_type, 'priority', priority, 'state', STATE.pending, 'since', now,
      'envelope', ARGV[4], 'plain', '1')
    redis.call('LPUSH', list, id)
    redis.call('HINCRBY', P .. KEY.totals, COUNTER.enqueued .. job_type .. ':' .. priority, 1)
    return { 'OK' }
  end
end

local STRIDE = 4 -- values of a job in `jobs`
local OPTIONS = '^' .. string.rep('([^\n]*)\n', 7) .. '([^\n]*)$'
local jobs = is_single and { ARGV[1], ARGV[2], ARGV[3], '' } or cmsgpack.unpack(ARGV[5])
local answers, earliest = { 'OK' }, nil

local request = not is_single and ARGV[1] ~= '' and P .. KEY.idempotency .. ARGV[1] -- the key, if the call has one

local function known_request()
  local known = request and redis.call('GET', request)
  if not known then
    return nil
  end
  local digest, answer = string.match(known, '^(%S+) (.*)$')
  if digest ~= ARGV[2] then
    return { 'MISMATCH' }
  end
  local duplicates = redis.call('GET', P .. KEY.duplicates .. ARGV[1])
  local replay = duplicates and cmsgpack.unpack(duplicates) or {}
  table.insert(replay, 1, answer)
  table.insert(replay, 1, 'REPLAYED')
  return replay
end

-- Keep what a repeat is to be answered with, for ARGV 4 ms.
local function note_request(has_duplicates)
  redis.call('SET', request, ARGV[2] .. ' ' .. ARGV[3], 'PX', ARGV[4])
  if has_duplicates then
    table.remove(answers, 1)
    redis.call('SET', P .. KEY.duplicates .. ARGV[1], cmsgpack.pack(answers), 'PX', ARGV[4])
    table.insert(answers, 1, 'OK')
  end
end

local function instant(text)
  if string.sub(text, 1, 1) == '+' then
    return now + tonumber(text)
  end
  return tonumber(text) or 0
end

local options = {} -- place of a job's id in `jobs` -> its options, if it is not plain

local function parse_options(text)
  local due, expires, retention, unique, unique_for, limit_key, parents, on_failure = string.match(text, OPTIONS)
  return {
    due = instant(due), expires = expires ~= '' and instant(expires) or nil, retention = retention, unique = unique,
    unique_for = unique_for, limit_key = limit_key, parents = parents, on_parent_failure = on_failure,
  }
end

local function parse_all_options()
  for i = 1, #jobs, STRIDE do
    if jobs[i + 3] ~= '' then
      options[i] = parse_options(jobs[i + 3])
    end
  end
end

-- All checks come before the first write. A parent may come earlier in the same call.
local function missing_parent()
  if not next(options) then
    return nil
  end
  local earlier = {}
  for i = 1, #jobs, STRIDE do
    local parents = options[i] and options[i].parents or ''
    -- A repeat may come after the parents' records have expired: what was stored is stored.
    local is_new = parents ~= '' and redis.call('EXISTS', P .. KEY.job .. jobs[i]) == 0
    for parent in string.gmatch(is_new and parents or '', '[^,]+') do
      if not earlier[parent] and redis.call('EXISTS', P .. KEY.job .. parent) == 0 then
        return parent
      end
    end
    earlier[jobs[i]] = true
  end
end

-- Return the id of the job that is stored under a unique name, or nil. Earlier versions stored it under the key alone: such
-- a job counts for trusted jobs of the same type, not for those of an owner, since its own owner is not known.
local function stored_under(unique, job_type)
  local id = redis.call('GET', P .. KEY.unique .. unique)
  local key = not id and string.match(unique, '^%S+ (%S+)$')
  if key then
    id = redis.call('GET', P .. KEY.unique .. key)
    id = id and redis.call('HGET', P .. KEY.job .. id, 'type') == job_type and id
  end
  return id or nil
end

-- Return the id of a waiting or running job with the unique name and the answer that describes it, or nil.
local function holder_of(unique, job_type)
  local holder = stored_under(unique, job_type)
  if not holder then
    return nil
  end
  local fields = redis.call('HMGET', P .. KEY.job .. holder, 'state', 'priority', 'expires')
  local state, priority, expires = fields[1], fields[2], fields[3]
  -- One that is too late to start has ended, even if no worker has come to it yet.
  if not state or (UNSTARTED[state] and expires and tonumber(expires) <= now) then
    return nil
  end
  return holder, holder .. ' ' .. state .. ' ' .. (priority or '')
end

local holders = {} -- id of a job that is not stored -> id of the job that has its unique key
local parents_seen = {} -- id of a job that others wait for -> its state, and their ids

local function parent_of(id)
  local parent = parents_seen[id]
  if not parent then
    local fields = redis.call('HMGET', P .. KEY.job .. id, 'state', 'children', 'readers')
    parent = { state = fields[1], children = { fields[2] or nil }, known_readers = fields[3] or '', readers = {} }
    parents_seen[id] = parent
  end
  return parent
end

-- Put the known readers before the new ones, without some that have ended. Two are checked for each new one, and go to the
-- end if they have not ended: so there are at most about twice as many as have not.
local function with_known_readers(parent)
  local ids, new, at, checks = parent.known_readers, parent.readers, 1, 2 * #parent.readers
  while at <= #ids and checks > 0 do
    local comma = string.find(ids, ',', at, true) or #ids + 1
    local id = string.sub(ids, at, comma - 1)
    if not has_ended(id) then
      new[#new + 1] = id
    end
    at, checks = comma + 1, checks - 1
  end
  if at <= #ids then
    table.insert(new, 1, string.sub(ids, at))
  end
  return table.concat(new, ',')
end

-- One write a parent, however many wait for it.
local function write_parents()
  for id, parent in pairs(parents_seen) do
    if #parent.children > 0 then
      set_extra(id, 'children', table.concat(parent.children, ','))
    end
    if #parent.readers > 0 then
      redis.call('HSET', P .. KEY.job .. id, 'readers', with_known_readers(parent))
    end
  end
end

-- Note a new job with those it waits for. Returns how many they are, and one that has failed it already.
local function follow_parents(id, parents)
  local waiting_for, failed_parent = 0, nil
  for each in string.gmatch(parents, '[^,]+') do
    local parent = parent_of(each)
    if not ENDED[parent.state] then
      parent.children[#parent.children + 1] = id
      waiting_for = waiting_for + 1
    elseif SUCCEEDED[parent.state] then
      -- Its result is still to be read: see `after_end`.
      parent.readers[#parent.readers + 1] = id
    else
      failed_parent = failed_parent or each
    end
  end
  return waiting_for, failed_parent
end

local queued, queued_jobs = {}, 0 -- priority -> ids of jobs that may run at once, and how many these are

local function queue_up(id, priority)
  local ids = queued[priority]
  if not ids then
    ids = {}
    queued[priority] = ids
  end
  ids[#ids + 1] = id
  queued_jobs = queued_jobs + 1
end

-- Put a single job straight into `next` when nothing else waits. Returns whether it did.
local function went_to_next()
  if queued_jobs > 1 or redis.call('EXISTS', P .. KEY.paused, EVERY.pending) > 0 then
    return false
  end
  local _, ids = next(queued)
  redis.call('LPUSH', P .. KEY.next, ids[1])
  return true
end

-- One write for each priority and thousand jobs: Lua passes on no more than some thousands of values.
local function write_queued()
  local has_next = redis.call('EXISTS', P .. KEY.next) == 1
  if not has_next and went_to_next() then
    return
  end
  for priority, ids in pairs(queued) do
    for at = 1, #ids, 1000 do
      redis.call('LPUSH', P .. KEY.pending .. priority, unpack(ids, at, math.min(at + 999, #ids)))
    end
  end
  if not has_next then
    ensure_next()
  end
end

local function envelope_of(i)
  return ARGV[is_single and 4 or 6 + (i - 1) / STRIDE]
end

local templates = {} -- type, priority, state -> key of a record without an envelope; '' after the first job like that

-- Write a job's record unless it exists. Those of a kind are copies of one record: a short one is copied in less time
-- than it is written in, field by field. Returns whether it was written.
local function write_record(i, record, state)
  local job_type, priority = jobs[i + 1], jobs[i + 2]
  local kind = state .. ':' .. priority .. ':' .. job_type
  local template = templates[kind]
  if not template then
    if redis.call('EXISTS', record) == 1 then
      return false
    end
    -- The first write: a server that is out of memory refuses the whole call here.
    redis.call('HSET', record, 'type', job_type, 'priority', priority, 'state', state, 'since', now,
      'envelope', envelope_of(i), 'plain', '1')
    templates[kind] = ''
    return true
  end
  if template == '' then
    template = P .. KEY.new .. kind
    -- One that is left of a call that failed has another time.
    redis.call('DEL', template)
    redis.call('HSET', template, 'type', job_type, 'priority', priority, 'state', state, 'since', now, 'plain', '1')
    templates[kind] = template
  end
  if redis.call('COPY', template, record) == 0 then
    return false
  end
  redis.call('HSET', record, 'envelope', envelope_of(i))
  return true
end

local function delete_templates()
  for _, template in pairs(templates) do
    if template ~= '' then
      redis.call('DEL', template)
    end
  end
end

local function place(i, record, job, parents)
  local id, job_type, due = jobs[i], jobs[i + 1], job.due
  local waiting_for, failed_parent = follow_parents(id, parents)
  if failed_parent and job.on_parent_failure ~= 'run' then
    fail_child(failed_parent, id, record, job_type)
    free_unique_key(id, job.unique)
  elseif waiting_for > 0 then
    redis.call('HSET', record, 'state', STATE.scheduled, 'waiting_for', waiting_for, 'due', due)
    redis.call('ZADD', P .. KEY.scheduled, NEVER, id)
  elseif due > now then
    redis.call('HSET', record, 'due', due)
    redis.call('ZADD', P .. KEY.scheduled, due, id)
    earliest = math.min(earliest or due, due)
  else
    queue_up(id, jobs[i + 2])
  end
end

local function store_with_options(i, record, job)
  local id, unique = jobs[i], job.unique
  -- A repeat is one even if another job has the key meanwhile.
  if unique ~= '' and redis.call('EXISTS', record) == 0 then
    local holder, answer = holder_of(unique, jobs[i + 1])
    if holder then
      holders[id] = holder
      return answer
    end
  end
  if not write_record(i, record, job.due > now and STATE.scheduled or STATE.pending) then
    return 'DUPLICATE'
  end
  if job.expires then
    set_extra(id, 'expires', job.expires)
  end
  if job.retention ~= '' then
    set_extra(id, 'retention', job.retention)
  end
  if unique ~= '' then
    set_extra(id, 'unique', unique)
    redis.call('SET', P .. KEY.unique .. unique, id, 'PX', job.unique_for)
  end
  if job.limit_key ~= '' then
    set_extra(id, 'bucket', jobs[i + 1] .. '/' .. job.limit_key)
  end
  local parents = string.gsub(job.parents, '[^,]+', holders)
  if parents ~= '' then
    set_extra(id, 'parents', parents, 'on_parent_failure', job.on_parent_failure)
  end
  place(i, record, job, parents)
  return nil
end

-- Store a job. Returns what to answer for it when it is not new.
local function store(i)
  local record, job = P .. KEY.job .. jobs[i], options[i]
  if job then
    local answer = store_with_options(i, record, job)
    if answer then
      return answer
    end
  elseif write_record(i, record, STATE.pending) then
    queue_up(jobs[i], jobs[i + 2])
  else
    return 'DUPLICATE'
  end
  count(COUNTER.enqueued .. jobs[i + 1] .. ':' .. jobs[i + 2], 1)
  return nil
end

local replay = known_request()
if replay then
  return replay
end
parse_all_options()
local missing = missing_parent()
if missing then
  return { 'NOPARENT', missing }
end

for i = 1, #jobs, STRIDE do
  local answer = store(i)
  if answer then
    answers[#answers + 1] = (i + STRIDE - 1) / STRIDE
    answers[#answers + 1] = answer
  end
end
delete_templates()
write_parents()
if request then
  note_request(next(holders) ~= nil)
end
if earliest then
  wake_scheduler_if_first(KEY.scheduled, earliest)
end
if queued_jobs > 0 then
  write_queued()
end
write_counts()
return answers
