"""A loop file with all that a loop must be able to say."""

EXAMPLE = """
# An example to follow, not a format to obey: everything that a loop must be able to say.
name = "r3al"
version = 1
title = "R3AL companion"
decisions_per_day = 4

[features.mood]            # valence of the latest pulse
bounds = [-1, 1]           # public; values outside are clamped and counted, never rejected silently
dynamics = "learned"       # moved by actions; its one-step change is a release target
scale = 0.16               # public whitening constant of the one-step change
[features.stress]
bounds = [0, 1]
dynamics = "learned"
scale = 0.10
[features.engagement]
bounds = [0, 1]
dynamics = "learned"
scale = 0.045
[features.energy]
bounds = [0, 1]
dynamics = "drift"         # moves by itself
scale = 0.06
[features.arousal]
bounds = [0, 1]
dynamics = "drift"
scale = 0.08
[features.gap]             # time since the last intervention, capped at 1
bounds = [0, 1]
dynamics = "since_intervention"
step = 0.0833
[features.load]            # recent interventions, exponentially forgotten
bounds = [0, 1]
dynamics = "recent_load"
decay = 0.8
[features.daypart]
categories = ["morning", "midday", "evening", "night"]
dynamics = "clock"

[heads.policy]
actions = ["wait", "check_in", "breathe", "reframe", "celebrate"]
reference = "wait"                     # the only action that is no intervention
logging = [0.6, 0.1, 0.1, 0.1, 0.1]    # the constant exploration distribution
[heads.timing]
actions = ["now", "in_30_minutes", "in_2_hours", "this_evening"]
reference = "now"
logging = [0.4, 0.2, 0.2, 0.2]
when = "intervening"                   # this head speaks only when policy intervenes
[heads.tone]
actions = ["warm", "calm", "playful", "direct"]
reference = "warm"
logging = [0.4, 0.2, 0.2, 0.2]
when = "intervening"
[heads.empathy]
actions = ["light", "moderate", "deep"]
reference = "moderate"
logging = [0.5, 0.25, 0.25]
when = "intervening"

[reward]
weights = { sentiment = 0.4, engagement = 0.4, compliance = 0.2, empathy = 0.1, timing = 0.1, uptake = 0.0 }
scale = 0.10               # public whitening constant of the total
appropriateness = { check_in = "gap", breathe = "stress", reframe = "-mood", celebrate = "mood" }   # unrated
best_delay = { now = "0m", in_30_minutes = "30m", in_2_hours = "2h", this_evening = "6h" }           # t*, with tau
delay_tolerance = "1h"
deadline = "24h"
default = 0.0
aggregate = "earliest"
harmful_labels = ["dismissed", "not_now", "bad"]   # what makes an intervention false

[release.moments]
nominal_users = 1000       # public; derived from the training split when left out
# clips, feature set and priors follow from this file by the public rules of learning.md; an entry here overrides one

[availability]
daily_cap = 4
cooldown = "2h"
quiet_hours = ["22:30", "07:00"]

[import.csv]               # how a file of logged decisions maps onto the loop
user = "user_id"
key = ["user_id", "decided_at"]                      # what makes a row the same row
missing = "drop"                                     # or a value per feature; counted either way
next_state = "next_row_same_day"                     # how s' is found; across gaps and unavailable points as declared
time = "decided_at"
available = "available"
features = { mood = "mood", stress = "stress" }      # those not named carry their own name
heads = { policy = { action = "action", propensity = "prob" } }
reward = { total = "reward" }                         # a total, or components: sentiment_before, sentiment_after, ...
transforms = { steps = "log(x + 0.5)" }              # a small closed set of functions
actions = { policy = { "False" = "wait", "True" = "check_in" } }   # values of the file -> actions of the head
label = "response"
"""
