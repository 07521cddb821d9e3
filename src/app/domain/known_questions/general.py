"""Questions that belong to neither of the other built-in routes, many of which mention money, shops or food."""

from __future__ import annotations

QUESTIONS = """
How long does it take?
How much time do I need?
How many people can take part?
How much is two plus two?
What is the value of this constant?
How do I set this up?
Where can I change my account settings?
How do I repair this device?
When did this happen?
Who invented this?
Tell me a story.
How do I say hello in Spanish?
What is the tallest building?
Wie ändere ich meine Einstellungen?
Wer hat das erfunden?
Wann fährt der Bus?
Comment modifier mon compte ?
Qui a écrit ce livre ?
Quelle est la capitale de ce pays ?
¿Cómo cambio mi contraseña?
¿Quién escribió este libro?
¿A qué hora sale el autobús?
Come si dice in inglese?
Chi ha scritto questo libro?
Como altero a minha senha?
Quem escreveu este livro?
Hoe wijzig ik mijn account?
Wie schreef dit boek?
Hoe laat begint het?
How long does the delivery take?
How can I pay?
How do I return something that I bought?
How do I cook this?
What is this machine made of?
What do animals eat?
How long does food keep in the fridge?
How do I log in?
How do I sign up?
How do I change my email address?
How do I verify my phone number?
How do I delete my profile?
How do I turn off notifications?
How do I update the app?
How do I connect to the wifi?
How do I install the printer driver?
How do I take a screenshot?
How do I restore a backup?
How do I upgrade the firmware?
How do I reach customer service?
How do I track a package?
How do I exchange an item for another size?
How do I file a complaint?
How do I get a receipt?
How do I get my deposit back?
How do I use a gift card?
How do I add a bank card?
How do I sort a list in JavaScript?
How do I write a unit test?
How do I merge two spreadsheets?
How do I remove a coffee stain from the carpet?
How do I boil an egg?
How do I sharpen a kitchen knife?
How do I descale a kettle?
How do I defrost a freezer?
How do I prune an apple tree?
How do I stop the cat from scratching the sofa?
How do I learn to play the guitar?
How do I prepare for a job interview?
How do I unblock a sink?
How does a refrigerator work?
How does an auction work?
How does the stock market work?
How does photosynthesis work?
How is cheese made?
How is the consumer price index calculated?
How is chocolate produced?
How long is the warranty?
How long does it take to bake bread?
How long does shipping take?
How long can I store potatoes?
How long do cats live?
How many countries are there in Africa?
How many seats does the car have?
How many employees does the company have?
How many kilometres are in a mile?
How old is the universe?
How tall is Mount Everest?
How far is it from Berlin to Munich?
How big is the file?
How often does the bus run?
How much space does the app need?
How much does a litre of water weigh?
How much rain fell last year?
How reliable is this brand?
How are you?
What is your return policy?
What is the status of my order?
What is my customer number?
What is the phone number of the head office?
What is the meaning of life?
What is the largest ocean?
What is machine learning?
What is supply and demand?
What is the difference between a recession and a depression?
What is a discount rate in finance?
What is a price index?
What is an invoice number?
What is the history of bread?
What is the Latin name of the tomato?
What is the best way to peel garlic?
What is a good title for my essay?
What is the square root of 144?
What time does the train leave?
What time do you close?
What day is it today?
What do you do with my data?
What do pandas eat?
What do I do when the screen stays black?
What does this warning light mean?
What does this error message mean?
What does the abbreviation mean?
What does a butcher do?
What happened in 1848?
What happens to my contract when I move?
What kind of wood is this table made of?
What languages do you speak?
What payment methods are there?
What should I wear to a wedding?
What should I visit in Prague?
What wine goes with fish?
What can you do?
What are the side effects of this medicine?
What are the rules of chess?
What are the terms and conditions?
What are tariffs?
Which file format should I use?
Which bus goes to the airport?
Which spices go into a curry?
Which pan is suitable for induction?
Which version do I have?
Which century was that in?
Which country does this cheese come from?
Which restaurant would you recommend?
Who is the author of this book?
Who founded the company?
Who is responsible for the invoice?
Who painted the Mona Lisa?
Who discovered vitamin C?
Who won the election?
Where is the nearest branch?
Where is the serial number?
Where is my parcel?
Where can I leave a review?
Where do I enter the voucher code?
Where are coffee beans grown?
Where was Napoleon born?
Where can I download the manual?
When will my order be delivered?
When does the shop open?
When was the telephone invented?
When is the best time to plant strawberries?
When is the harvest of grapes?
When will you be back in stock?
Why was my payment rejected?
Why is there a pending charge on my statement?
Why does the app crash?
Why is the sky blue?
Why does bread go mouldy?
Why do prices rise during a war?
Why does my oven smell?
Why is my parcel late?
Is there a lift in the building?
Is there somebody I can talk to?
Is my data safe?
Is the museum open on Mondays?
Is it raining in London?
Is this item in stock?
Is the blender dishwasher-safe?
Is tap water hard here?
Are you a robot?
Are dogs allowed in the shop?
Do you deliver to Norway?
Do you have this in green?
Do you have a job for me?
Do I need a visa for Brazil?
Does the phone support two SIM cards?
Does the kitchen scale need batteries?
Does the restaurant have a terrace?
Can I cancel my order?
Can I pay with a credit card?
Can I change my booking?
Can I book a table for four?
Can I freeze cooked pasta?
Can I speak to the manager?
Can you correct my grammar?
Can you explain that again?
Can you translate this recipe into English?
Can you call me back?
Can you write a short story about a baker?
Could you help me with my homework?
Could you please resend the confirmation?
Could you tell me who is in charge of the accounts?
Would you please stop sending me advertising?
Write an email to my boss.
Write a product description for a teapot.
Write a slogan for a grocery store.
Write a SQL query that sums the prices by shop.
Write a poem about autumn.
Translate this sentence into French.
Translate the menu into German.
Summarise this article.
Summarise the meeting.
Explain quantum physics.
Explain how taxes work.
Explain the term purchasing power.
Explain the difference between gross and net.
Explain the theory of relativity in simple words.
Give me three ideas for a birthday party.
Give me the recipe for apple pie.
Recommend a film for tonight.
Recommend a book on economics.
Tell me about the history of the potato.
Tell me about your company.
Help me plan a trip to Italy.
Help me name my bakery.
Correct this sentence.
Calculate 15 times 23.
Convert 100 degrees Fahrenheit to Celsius.
Play some music.
Sing a song.
Repeat that, please.
I forgot my PIN.
I lost my card.
I have not received a refund.
I have received the wrong product.
I want to complain about the service.
I want to close my account.
I was overcharged on my last bill.
I need help with my bill.
I need an invoice for my order.
I would like to make an appointment.
I would like to change the date of delivery.
I'm looking for the instructions of my microwave.
I'm moving and need to change my address.
I'm sad today.
I can't open the file.
I love you.
My card doesn't work.
My order is incomplete.
My screen is broken.
My dog ate a grape, what do I do?
My landlord won't repair the heating.
The food at your restaurant was cold.
The coupon doesn't work.
The website is down.
The delivery never came, though the app says that it was handed over yesterday at noon.
The dishwasher stops in the middle of the programme and shows E24; I've cleaned the filter already, so what else \
could it be?
We're opening a small café next spring and wonder which permits we need for the terrace.
I'm writing an essay about trade in the Middle Ages and would like to know which towns had markets.
My daughter has to give a talk about bees next week; can you help her with an outline?
good evening
thank you
bye
yes
no
test
help
contact
reset password
forgot username
refund status
return form
order number
store locator
track order
opening times
battery replacement
recipe lasagne
pizza dough recipe
translate hello
python for loop
excel formula
football results
capital of france
jobs
privacy policy
user manual
error 404
restaurant near me
history of coffee
stock market news
how too reset my pasword
wher is my oder
the aplication dosnt start
what tiem is it
how do i chnage my adress
thx a lot
Wo ist meine Bestellung?
Wie kündige ich mein Konto?
Wann haben Sie geöffnet?
Ich habe mein Kennwort vergessen.
Wer war Goethe?
Was ist die Hauptstadt von Polen?
Wie wird Käse gemacht?
Schreibe ein Gedicht.
Meine Karte funktioniert nicht.
Danke!
Où est ma commande ?
Comment annuler mon abonnement ?
Quand ouvrez-vous ?
J'ai oublié mon mot de passe.
Qui était Molière ?
Comment fait-on le pain ?
Écris un poème.
Mon écran ne marche pas.
Bonjour
¿Dónde está mi pedido?
¿Cómo cancelo mi suscripción?
¿Cuándo abren?
He olvidado mi contraseña.
¿Quién pintó este cuadro?
¿Cuál es la capital de Perú?
Escribe un poema.
¿Cómo se hace el queso?
Hola
Dov'è il mio ordine?
Come cancello il mio account?
Quando aprite?
Ho dimenticato la password.
Chi ha dipinto la Gioconda?
Scrivi una poesia.
Come si fa il pane?
Onde está a minha encomenda?
Como cancelo a subscrição?
A que horas abrem?
Esqueci a palavra-passe.
Quem descobriu o Brasil?
Escreve uma carta.
Como se faz queijo?
Waar is mijn pakket?
Hoe zeg ik mijn abonnement op?
Wanneer bent u open?
Ik ben mijn wachtwoord vergeten.
Wie schilderde de Nachtwacht?
Schrijf een gedicht.
Hoe maak je kaas?
"""
