/* Intrusive doubly linked list: the link is a field of the object, so linking cannot fail.
 *
 * A head is a struct list that points to itself. An object that is in no list has a link that
 * points to itself (list_init), and list_remove may be called on it any number of times.
 *
 * Owns: nothing. Thread: that of the list's owner.
 */
#ifndef CARILLON_LIST_H
#define CARILLON_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *next, *prev;
};

static inline void list_init(struct list *l) {
    l->next = l->prev = l;
}

static inline bool list_is_empty(const struct list *l) {
    return l->next == l;
}

static inline void list_insert_before(struct list *at, struct list *l) {
    l->prev = at->prev;
    l->next = at;
    at->prev->next = l;
    at->prev = l;
}

static inline void list_append(struct list *head, struct list *l) {
    list_insert_before(head, l);
}

static inline void list_remove(struct list *l) {
    l->prev->next = l->next;
    l->next->prev = l->prev;
    list_init(l);
}

/* Moves everything from one head to the end of another. */
static inline void list_splice(struct list *to, struct list *from) {
    if (list_is_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init(from);
}

/* The object that has link l as its field. */
#define list_entry(l, type, field) ((type *)(void *)((char *)(l)-offsetof(type, field)))

/* NOLINTBEGIN(bugprone-macro-parentheses): l is a name that is declared here */

/* Visits links; the body must not unlink anything. */
#define list_for_each(l, head) for (struct list *l = (head)->next; l != (head); l = l->next)

/* Visits links; the body may remove the visited one. */
#define list_for_each_safe(l, head)                                                                \
    for (struct list *l = (head)->next, *l##_next = l->next; l != (head);                          \
         l = l##_next, l##_next = l->next)

/* NOLINTEND(bugprone-macro-parentheses) */

#endif
