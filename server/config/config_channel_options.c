/* The options of a namespace: see config_options.h.
 *
 * Owns: nothing. Thread: any.
 */
#include "server/config/config_checks.h"
#include "server/config/config_options.h"

#define NS(field) offsetof(struct channel_options, field)

#define SECOND 1000u
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)
#define YEAR (UINT64_C(8760) * HOUR)

#define CHANNEL_BOOL(field, description)                                                           \
    { #field, OPTION_BOOL, NS(field), 0, 0, "false", .text = (description) }
#define CHANNEL_OWN_BOOL(field, description)                                                       \
    { #field, OPTION_BOOL, NS(field), 0, 0, "false", .text = (description), .flags = OPTION_OWN }

const struct option config_channel_options[] = {
    {"name", OPTION_TEXT, NS(name), 2, 100, "",
     .text = "Name of the namespace: letters, digits, - _ and .", .check = config_check_namespace},
    CHANNEL_BOOL(presence, "Keeps who is in a channel."),
    CHANNEL_BOOL(join_leave, "Members that ask for it hear who joins and leaves."),
    CHANNEL_BOOL(force_push_join_leave, "All members hear it without asking."),
    {"join_leave_max_members", OPTION_COUNT, NS(join_leave_max_members), 0, 10000000, "0",
     .text = "Joins and leaves are not announced in a channel with more members; 0 = no limit.",
     .flags = OPTION_OWN},
    {"join_leave_interval", OPTION_DURATION, NS(join_leave_interval_ms), 0, 1 * HOUR, "0",
     .text = "Joins and leaves of a channel are announced together, at most so often; 0 = at once.",
     .flags = OPTION_OWN},
    {"history_size", OPTION_COUNT, NS(history_size), 0, 1000000, "0",
     .text = "Publications a channel keeps; 0 = no history."},
    {"history_ttl", OPTION_SECONDS, NS(history_ttl_s), 0, 10 * YEAR, "0",
     .text = "How long they are kept; 0 = no history."},
    {"history_meta_ttl", OPTION_SECONDS, NS(history_meta_ttl_s), 0, 10 * YEAR, "0",
     .text = "How long offset and epoch are kept; 0 = as `channel.history_meta_ttl` says."},
    CHANNEL_BOOL(force_positioning, "Subscribers are told when they missed a publication."),
    CHANNEL_BOOL(allow_positioning, "Subscribers that ask for it are."),
    CHANNEL_BOOL(force_recovery, "Who returns gets what was published meanwhile, from history."),
    CHANNEL_BOOL(allow_recovery, "Who returns and asked for it does."),
    {"force_recovery_mode", OPTION_WORD, NS(force_recovery_mode), 0, 0, "",
     .text = "What is recovered: all that was missed, `stream` or empty, or only the newest, "
             "`cache`.",
     .words = " stream cache"},
    CHANNEL_BOOL(auto_cache_recover,
                 "Every new subscriber gets the newest publication; needs `force_recovery` and the "
                 "mode `cache`."),
    {"allowed_delta_types", OPTION_WORDS, NS(allowed_delta_types), 0, 0, "",
     .text = "Subscribers that ask for it get differences instead of whole payloads.",
     .words = "fossil"},
    CHANNEL_BOOL(delta_publish, "Differences are made of all publications, not only where the API "
                                "says `delta`."),
    CHANNEL_OWN_BOOL(conflation,
                     "A slow reader gets only the newest publication instead of being closed."),
    {"channel_regex", OPTION_TEXT, NS(channel_regex), 0, 1000, "",
     .text = "Names must match it, without their namespace; Go's syntax. Names with other than "
             "ASCII characters need one."},
    {"publication_data_format", OPTION_WORD, NS(publication_data_format), 0, 0, "",
     .text = "Payloads are JSON, whatever this says.", .words = " json"},
    CHANNEL_BOOL(allow_subscribe_for_client, "Users may subscribe without a subscription token."),
    CHANNEL_BOOL(allow_subscribe_for_anonymous, "With the option above: so may anonymous clients."),
    CHANNEL_BOOL(allow_publish_for_client, "Users may publish."),
    CHANNEL_BOOL(allow_publish_for_subscriber, "Users who are subscribed may publish."),
    CHANNEL_BOOL(allow_publish_for_anonymous,
                 "With one of the two above: so may anonymous clients."),
    CHANNEL_BOOL(allow_presence_for_client, "Users may ask who is in a channel."),
    CHANNEL_BOOL(allow_presence_for_subscriber, "Users who are subscribed may ask."),
    CHANNEL_BOOL(allow_presence_for_anonymous,
                 "With one of the two above: so may anonymous clients."),
    CHANNEL_BOOL(allow_history_for_client, "Users may read history."),
    CHANNEL_BOOL(allow_history_for_subscriber, "Users who are subscribed may."),
    CHANNEL_BOOL(allow_history_for_anonymous,
                 "With one of the two above: so may anonymous clients."),
    CHANNEL_BOOL(allow_user_limited_channels,
                 "Names with the user boundary (`news#alice,bob`) are for the users they name, and "
                 "for nobody else."),
    {.name = NULL},
};
